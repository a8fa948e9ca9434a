"""The error that reaches a user as a message, not as a traceback."""


class CxrError(Exception):
    """Something the user can mend; the message names the file, the field and the remedy."""
