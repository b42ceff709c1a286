"""What commands raise besides `tailrace.errors`."""


class ServerError(Exception):
    """The server cannot be reached, or it said no."""
