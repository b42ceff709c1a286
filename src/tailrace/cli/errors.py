"""Exceptions of commands, besides those of `tailrace.errors`."""


class Waiting(Exception):
    """The run waits for an answer, and there is no terminal: exit status 3."""


class ServerError(Exception):
    """The server cannot be reached, or replied with an error."""
