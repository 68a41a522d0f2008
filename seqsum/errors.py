"""The one error that the command line shows without a traceback."""


class InputError(ValueError):
    """Something the user gave can't be used: a flag, a file, a folder. The message names it."""
