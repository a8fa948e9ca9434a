"""The errors that reach a user as a message, not as a traceback."""

from cxr.core import exit_codes


class CxrError(Exception):
    """Something the user can mend; the message names the file, the field and the remedy."""

    exit_code = exit_codes.FAILED


class UsageError(CxrError):
    """What was asked for cannot be: an argument, a configuration, a path that is not there. Nothing was begun."""

    exit_code = exit_codes.USAGE


class MissingFileError(CxrError):
    """A file that is not there."""
