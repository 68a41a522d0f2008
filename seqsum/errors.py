"""The errors that the command line shows without a traceback."""


class InputError(ValueError):
    """Something the user gave can't be used: a flag, a file, a folder. The message names it."""


class NotFiniteError(ArithmeticError):
    """A training has come to a NaN or an infinity, and to its end. The message names the step and the batch."""
