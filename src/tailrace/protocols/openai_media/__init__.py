"""OpenAI's endpoints for pictures and speech, as model servers speak them."""
