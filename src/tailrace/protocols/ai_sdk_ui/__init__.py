"""AI SDK UI message streams (`useChat`): the least that every measured version from 5.0.0 on accepts."""
