"""OpenAI Responses, as clients and as model servers speak it."""
