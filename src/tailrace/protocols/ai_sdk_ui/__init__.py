"""AI SDK UI message streams (`useChat`): only features that every measured version from 5.0.0 on accepts."""
