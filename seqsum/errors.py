"""Errors that the command line prints without a traceback."""


class InputError(ValueError):
    """Something the user gave can't be used: a flag, a file, a folder. The message names it."""


class NotFiniteError(ArithmeticError):
    """A training stopped because a loss or a weight is NaN or infinite. The message names the step."""
