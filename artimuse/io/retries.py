"""Trying again what a store may do the next time: throttling, resets, timeouts and bodies cut short."""

import errno
import random
import time
from collections.abc import Callable
from typing import TypeVar

NUM_ATTEMPTS = 10
MAX_SILENT_ATTEMPTS = 2
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 20.0
"""Waits double from the first to the longest, each drawn from its upper half: about 35 s before a read is given up."""


class FinalAnswer(Exception):
    """Raised by a read to say that another attempt would find the same."""


_ANSWERS = (
    FinalAnswer,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
    NotImplementedError,
    ValueError,
    TypeError,
    ImportError,
    MemoryError,
)
# How s3fs translates what S3 calls invalid or unknown; 503 and 500 become EBUSY and EREMOTEIO.
_ANSWER_NUMBERS = {errno.EINVAL, errno.EPERM, errno.ENAMETOOLONG, errno.ENOSYS}
# Of botocore, by name: it is imported only where S3 is read.
_ANSWER_NAMES = {"NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "ProfileNotFound"}

Result = TypeVar("Result")


class Silent(OSError):
    """No answer within the time for one, which costs that time: only one more attempt is made."""


class CutShort(OSError):
    """A body that ended early, whatever the transport said of it."""


class GaveUp(OSError):
    """Every attempt failed; the cause is the last one's error."""


def with_retries(read: Callable[[], Result]) -> Result:
    """What `read` returns, after as many as `NUM_ATTEMPTS`.

    An answer such as "no such key" or "access denied" is raised at once, as it is. Raises GaveUp for the rest.
    """
    num_silent = 0
    for attempt in range(1, NUM_ATTEMPTS + 1):
        try:
            return read()
        except Exception as error:
            if is_answer(error):
                raise
            num_silent += isinstance(error, Silent)
            if attempt == NUM_ATTEMPTS or num_silent == MAX_SILENT_ATTEMPTS:
                raise GaveUp(f"{attempt} attempts failed, the last with {describe(error)}") from error
        time.sleep(wait_s(attempt))
    raise AssertionError("unreachable")


def is_answer(error: Exception) -> bool:
    """True if the store understood and said no; what it failed to say may be asked again."""
    if isinstance(error, _ANSWERS) or type(error).__name__ in _ANSWER_NAMES:
        return True
    return isinstance(error, OSError) and error.errno in _ANSWER_NUMBERS


def wait_s(attempt: int) -> float:
    """How long to wait after this attempt, counted from 1. Random, so that many workers do not return at once."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (attempt - 1))
    return random.uniform(longest / 2, longest)


def whole(data: bytes, num_bytes: int) -> bytes:
    """The data, if it is all of it. Raises CutShort."""
    if len(data) != num_bytes:
        raise CutShort(f"{len(data)} bytes arrived of {num_bytes}")
    return data


def describe(error: BaseException) -> str:
    """`Kind: message` in one line; the kind alone if there is no message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
