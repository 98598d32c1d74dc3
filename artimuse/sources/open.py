"""From what a user calls INPUT to the source that reads it."""

from collections.abc import Collection
from pathlib import Path

from artimuse.configs import DEFAULT_FORMATS
from artimuse.errors import BadInput
from artimuse.remote.http import is_http
from artimuse.sources.containers import ContainerFiles
from artimuse.sources.folder import FolderSource
from artimuse.sources.glob import GlobSource
from artimuse.sources.listing import list_files
from artimuse.sources.manifest import ManifestSource
from artimuse.sources.parquet_images import ParquetImagesSource, has_uris
from artimuse.sources.patterns import EVERYTHING, is_pattern
from artimuse.sources.single import SingleSource
from artimuse.sources.source import Source
from artimuse.sources.suffixes import image_suffixes, suffix_of
from artimuse.sources.tables import TABLES
from artimuse.sources.tars import TarSource
from artimuse.storage import local_path

_ACCEPTED = (
    f"INPUT can be a folder, a quoted glob, one image, a manifest ({', '.join(TABLES)}) with a column `uri`, or images "
    "inside .tar or .parquet files: one, a folder or a glob of them. Each may be on a URL such as s3://"
)
# In the order of preference: downloaders write tables of URLs beside their tars.
_CONTAINERS = (".tar", ".parquet")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def open_source(
    input: str, *, formats: Collection[str] = DEFAULT_FORMATS, image_column: str | None = None, allow_http: bool = False
) -> Source:
    """The collection that INPUT names; `formats` (as Pillow spells them) tells which files of a folder are images.

    Raises BadInput, saying what INPUT can be, if it is not there or not of a known kind.
    """
    place = _absolute(input)
    suffix, suffixes = suffix_of(place), image_suffixes(formats)
    if input.endswith(_COMPRESSED):
        raise BadInput(f"{input}: a compressed tar, whose members cannot be read by offset. Decompress it.")
    if _is_folder(place, suffix, suffixes):
        return _open_folder(place.rstrip("/") or "/", suffixes, image_column)
    if is_pattern(place) and not _exists(place):
        if suffix in _CONTAINERS:
            return _open_containers(ContainerFiles(place, suffix, is_glob=True), suffixes, image_column)
        return GlobSource(place)
    if suffix == ".tar" or (suffix == ".parquet" and (image_column or not has_uris(place))):
        return _open_containers(ContainerFiles(place, suffix), suffixes, image_column)
    if suffix in TABLES:
        return ManifestSource(place, allow_http=allow_http)
    if suffix in suffixes:
        return SingleSource(place, allow_http=allow_http)
    raise BadInput(f"{input}: not a collection this version reads. {_ACCEPTED}.")


def _absolute(input: str) -> str:
    """Raises BadInput for a local path that leads nowhere."""
    local = local_path(input)
    if local is None:
        return input
    path = Path(local).expanduser().absolute()
    if not is_pattern(local) and not _exists(str(path)):
        raise BadInput(f"{input}: no such file or directory. {_ACCEPTED}.")
    return str(path)


def _exists(place: str) -> bool:
    path = local_path(place)
    if path is None:
        return is_http(place)  # whose `?` is no wildcard
    try:
        return Path(path).exists()
    except OSError as error:
        raise BadInput(f"{place}: cannot be looked at ({error.strerror})") from error


def _is_folder(place: str, suffix: str, suffixes: Collection[str]) -> bool:
    """On a store that has no directories, what does not look like a file or a pattern."""
    if local_path(place) is not None:
        return Path(place).is_dir()
    looks_like_file = suffix in suffixes or suffix in TABLES or suffix in _CONTAINERS
    return not is_http(place) and not is_pattern(place) and (place.endswith("/") or not looks_like_file)


def _open_folder(root: str, suffixes: Collection[str], image_column: str | None) -> Source:
    """Of images if it has any, else of tars, else of Parquet files."""
    found = set[str]()
    for path in list_files(root, EVERYTHING):
        suffix = suffix_of(path)
        if suffix in suffixes:
            found.clear()
            break
        found |= {suffix} & set(_CONTAINERS)
    for suffix in _CONTAINERS:
        if suffix in found:
            return _open_containers(ContainerFiles(root, suffix, is_folder=True), suffixes, image_column)
    return FolderSource(root, suffixes=suffixes)


def _open_containers(files: ContainerFiles, suffixes: Collection[str], image_column: str | None) -> Source:
    if files.suffix == ".tar":
        return TarSource(files, suffixes=suffixes)
    return ParquetImagesSource(files, image_column=image_column)
