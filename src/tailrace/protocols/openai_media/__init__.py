"""OpenAI's endpoints for images and speech, as model servers implement them."""
