"""What commands raise besides `tailrace.errors`."""


class Waiting(Exception):
    """A run of this command waits for an answer, and nobody can be asked: exit status 3."""


class ServerError(Exception):
    """The server cannot be reached, or it said no."""
