"""OpenAI Chat Completions, as clients and as model servers speak it."""
