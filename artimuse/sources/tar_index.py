"""What a tar holds, from its headers alone: bodies are skipped, only small texts beside the images are read."""

import tarfile
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import BinaryIO

from artimuse.errors import BadInput

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_PADDING_BYTES = 2**20
"""How much is read at a time of the zeros behind an end mark."""


def tar_members(location: str, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Every member but directories, with GNU and pax long names resolved; also of tars behind each other in one file.

    Raises BadInput, naming the byte, for a tar that is compressed, damaged, or ends before its end mark: the images
    behind that byte would be lost.
    """
    _refuse_compressed(location, file)
    start: int | None = 0
    while start is not None:
        file.seek(start)
        try:
            end = yield from _members_of_one(location, file)
        except (tarfile.TarError, ValueError) as error:
            raise BadInput(f"{location}: not a whole tar: {error} at byte {file.tell()}") from error
        start = _next_tar(file, end)


def refuse_unreadable(location: str, member: tarfile.TarInfo) -> None:
    """Raises BadInput for a member whose body is not stored with it, or not in one piece."""
    if member.islnk() or member.issym():
        raise BadInput(f"{location}: {member.name} is a link; only members with a body of their own are read")
    if member.issparse():
        raise BadInput(f"{location}: {member.name} is a sparse member, which is not stored in one piece")


def _members_of_one(location: str, file: BinaryIO) -> Generator[tarfile.TarInfo, None, int]:
    """The members from where the file stands to the next end mark; returns where that begins."""
    # Not `tarfile.open`, which would look for compression by reading on.
    with closing(tarfile.TarFile(fileobj=file, mode="r", errors="surrogateescape")) as tar:
        last = -1
        while member := tar.next():
            # The list of members is for access by name; here it would only grow.
            tar.members.clear()  # type: ignore[attr-defined]
            if member.size < 0 or tar.offset <= last:
                raise BadInput(
                    f"{location}: damaged at byte {member.offset}: {member.name} has a size of {member.size} bytes"
                )
            last = tar.offset
            if member.isfile() or member.islnk() or member.issym():
                yield member
        _refuse_early_end(location, file, tar.offset)
        return int(tar.offset)


def _next_tar(file: BinaryIO, end: int) -> int | None:
    """Where the next tar begins behind the end mark at `end`; None if nothing but zeros follows."""
    file.seek(end)
    position = end
    while data := file.read(_PADDING_BYTES):
        if data.count(0) < len(data):
            first = len(data) - len(data.lstrip(b"\0"))
            return position + first - (position + first) % tarfile.BLOCKSIZE
        position += len(data)
    return None


def _refuse_compressed(location: str, file: BinaryIO) -> None:
    start = file.read(6)
    file.seek(0)
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            raise BadInput(f"{location}: compressed with {name}: its members cannot be read by offset. Decompress it.")


def _refuse_early_end(location: str, file: BinaryIO, offset: int) -> None:
    """`tarfile` takes whatever is no header for the end."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise BadInput(f"{location}: cut off at byte {offset + len(block)}, before its end mark")
    if block.count(0) < tarfile.BLOCKSIZE:
        raise BadInput(f"{location}: damaged at byte {offset}: expected the header of a member")
