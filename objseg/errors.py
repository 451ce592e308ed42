"""The errors that are messages for the user."""

import errno

ENVIRONMENT = {
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS, errno.EFBIG,
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EMFILE, errno.ENFILE,
}
"""Errors of the machine or of a path that somebody chose, whatever code meets them."""


class UserError(Exception):
    """Something that the user can mend; the message says what was found, and what to do.

    Tools print it as one line. Every other error is a fault of the program and keeps its traceback.
    """


class RanksError(UserError):
    """Ranks of MPI that cannot go on together; the message says what to do."""


def is_for_user(error: BaseException) -> bool:
    """Say whether ``error`` is a message for the user: a UserError, or the machine's state."""
    return isinstance(error, UserError) or (
        isinstance(error, OSError) and error.errno in ENVIRONMENT
    )
