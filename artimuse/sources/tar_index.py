"""What a tar holds, from its headers alone: bodies are skipped, only small texts beside the images are read."""

import tarfile
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from artimuse.errors import BadInput

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def tar_members(location: str, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Every regular file in the tar, with GNU and pax long names resolved.

    Raises BadInput, naming the byte, for a tar that is compressed, damaged, or ends before its end mark: the images
    behind that byte would be lost.
    """
    _refuse_compressed(location, file)
    try:
        # Not `tarfile.open`, which would look for compression by reading on.
        with closing(tarfile.TarFile(fileobj=file, mode="r", errors="surrogateescape")) as tar:
            while member := tar.next():
                # The list of members is for access by name; here it would only grow.
                tar.members.clear()  # type: ignore[attr-defined]
                if member.isfile():
                    yield _supported(location, member)
                elif member.islnk() or member.issym():
                    raise BadInput(
                        f"{location}: {member.name} is a link; only members with a body of their own are read"
                    )
            _refuse_early_end(location, file, tar.offset)
    except tarfile.TarError as error:
        raise BadInput(f"{location}: not a whole tar: {error} at byte {file.tell()}") from error


def _refuse_compressed(location: str, file: BinaryIO) -> None:
    start = file.read(6)
    file.seek(0)
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            raise BadInput(f"{location}: compressed with {name}: its members cannot be read by offset. Decompress it.")


def _supported(location: str, member: tarfile.TarInfo) -> tarfile.TarInfo:
    if member.issparse():
        raise BadInput(f"{location}: {member.name} is a sparse member, which is not stored in one piece")
    return member


def _refuse_early_end(location: str, file: BinaryIO, offset: int) -> None:
    """`tarfile` takes whatever is no header for the end."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise BadInput(f"{location}: cut off at byte {offset + len(block)}, before its end mark")
    if block.count(0) < tarfile.BLOCKSIZE:
        raise BadInput(f"{location}: damaged at byte {offset}: expected the header of a member")
