"""Files that a user names, to be read: whatever a storage raises becomes one line with the location and the reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from artimuse.errors import BadInput
from artimuse.io.retries import describe
from artimuse.io.stores import open_file


@contextmanager
def as_bad_input(location: str, *, deed: str = "read") -> Iterator[None]:
    """Inside, every exception becomes `BadInput("LOCATION: cannot be DEED (REASON)")`."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # process boundary: every filesystem raises kinds of its own
        reason = getattr(error, "strerror", None) or _in_words(error)
        raise BadInput(f"{location}: cannot be {deed} ({reason})") from error


def _in_words(error: Exception) -> str:
    """What Arrow and Python say of a file's content is a sentence; what a store says often is only a name."""
    return str(error) if isinstance(error, ValueError) and str(error) else describe(error)


@contextmanager
def open_input(location: str, *, read_ahead_bytes: int = 2**20) -> Iterator[BinaryIO]:
    """A seekable file; what is wrong with it while it is read is BadInput too."""
    with as_bad_input(location), open_file(location, read_ahead_bytes=read_ahead_bytes) as file:
        yield file
