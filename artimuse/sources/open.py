"""From what a user calls INPUT to the source that reads it."""

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from artimuse.configs.limits import DEFAULT_FORMATS, HttpAccess
from artimuse.configs.score import TarIds
from artimuse.errors import BadInput
from artimuse.interfaces import Source
from artimuse.io.http import is_http, read_http
from artimuse.io.listing import list_files
from artimuse.io.location import local_path
from artimuse.io.patterns import EVERYTHING, is_pattern
from artimuse.io.reading import as_bad_input
from artimuse.sources.containers import ContainerFiles
from artimuse.sources.files import FolderSource, GlobSource, SingleSource
from artimuse.sources.manifest import ManifestSource
from artimuse.sources.parquet_images import ParquetImagesSource, has_uris
from artimuse.sources.suffixes import image_suffixes, suffix_of
from artimuse.sources.tables import TABLES
from artimuse.sources.tars import TarSource

_ACCEPTED = (
    "INPUT can be a folder, a quoted glob, one image, a manifest (.parquet, .csv, .tsv, .jsonl, .json) with a column"
    " `uri`, a list of paths (.txt), or images inside .tar or .parquet files: one, a folder or a glob of them. Each may"
    " be on a URL such as s3://"
)
# In the order of preference: downloaders write tables of URLs beside their tars.
_CONTAINERS = (".tar", ".parquet")
# Held in memory while the run is planned; a server need not know ranges.
_MAX_WEB_MANIFEST_BYTES = 2**30
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def open_source(
    input: str,
    *,
    formats: Collection[str] = DEFAULT_FORMATS,
    image_column: str | None = None,
    uri_column: str | None = None,
    tar_ids: TarIds = "keys",
    http: HttpAccess | None = None,
) -> Source:
    """The collection that INPUT names; `formats` (as Pillow spells them) tells which files of a folder are images.

    Raises BadInput, saying what INPUT can be, if it is not there or not of a known kind.
    """
    location = _absolute(input)
    suffix, suffixes = suffix_of(location), image_suffixes(formats)
    if is_http(location):
        return _on_the_web(location, suffixes, uri_column, http)
    if location.endswith(_COMPRESSED):
        raise BadInput(f"{input}: a compressed tar, whose members cannot be read by offset. Decompress it.")
    files = None if uri_column else _containers(location, suffix, suffixes, image_column)
    if files and files.suffix == ".parquet":
        return ParquetImagesSource(files, image_column=image_column)
    if image_column:
        raise BadInput(f"{input}: not Parquet, and has no column `{image_column}` (--image-column)")
    if files:
        return TarSource(files, suffixes=suffixes, ids=tar_ids)
    if uri_column and (suffix not in TABLES or _is_glob(location)):
        raise BadInput(
            f"{input}: not one manifest ({', '.join(TABLES)}), and has no column `{uri_column}` (--uri-column)"
        )
    if _is_folder(location, suffix, suffixes):
        return FolderSource(location.rstrip("/") or "/", suffixes=suffixes)
    if _is_glob(location):
        return GlobSource(location)
    if suffix in TABLES:
        return ManifestSource(location, uri_column=uri_column or "uri", allow_http=http is not None)
    if suffix in suffixes:
        return SingleSource(location)
    raise BadInput(f"{input}: not a collection this version reads. {_ACCEPTED}.")


def _on_the_web(location: str, suffixes: Collection[str], uri_column: str | None, http: HttpAccess | None) -> Source:
    """One image or a manifest on a web server, which cannot be listed."""
    suffix = suffix_of(urlsplit(location).path)
    if suffix in suffixes:
        return SingleSource(location, allow_http=http is not None)
    if suffix not in TABLES:
        raise BadInput(
            f"{location}: on a web server, INPUT can be one image or a manifest whose name ends in"
            f" {', '.join(TABLES)}; a list of its images is one"
        )
    if http is None:
        raise BadInput(f"{location}: what is on web servers is fetched with --allow-http only")
    with as_bad_input(location):
        data = read_http(location, http, max_bytes=_MAX_WEB_MANIFEST_BYTES)

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with as_bad_input(location):
            yield io.BytesIO(data)

    table = TABLES[suffix](location, opened)
    return ManifestSource(location, uri_column=uri_column or "uri", allow_http=True, table=table)


def _containers(
    location: str, suffix: str, suffixes: Collection[str], image_column: str | None
) -> ContainerFiles | None:
    """The files that images are inside of; None if INPUT names the images themselves, or a manifest."""
    if _is_folder(location, suffix, suffixes):
        root = location.rstrip("/") or "/"
        found = ".parquet" if image_column else _kind_of_folder(root, suffixes)
        return ContainerFiles(root, found, is_folder=True) if found else None
    if suffix not in _CONTAINERS:
        return None
    if _is_glob(location):
        return ContainerFiles(location, suffix, is_glob=True)
    is_manifest = suffix == ".parquet" and not image_column and has_uris(location)
    return None if is_manifest else ContainerFiles(location, suffix)


def _kind_of_folder(root: str, suffixes: Collection[str]) -> str | None:
    """None if it has any image, else the kind of container it has."""
    found = set[str]()
    for path in list_files(root, EVERYTHING):
        suffix = suffix_of(path)
        if suffix in suffixes:
            return None
        found |= {suffix} & set(_CONTAINERS)
    return next((suffix for suffix in _CONTAINERS if suffix in found), None)


def _is_folder(location: str, suffix: str, suffixes: Collection[str]) -> bool:
    """On a store, which has no directories, what looks neither like a file nor like a pattern."""
    if local_path(location) is not None:
        return Path(location).is_dir()
    looks_like_file = suffix in suffixes or suffix in TABLES or suffix in _CONTAINERS
    return not is_http(location) and not is_pattern(location) and (location.endswith("/") or not looks_like_file)


def _is_glob(location: str) -> bool:
    return is_pattern(location) and not _exists(location)


def _absolute(input: str) -> str:
    """Raises BadInput for a local path that leads nowhere."""
    local = local_path(input)
    if local is None:
        return input
    path = Path(local).expanduser().absolute()
    if not is_pattern(local) and not _exists(str(path)):
        raise BadInput(f"{input}: no such file or directory. {_ACCEPTED}.")
    return str(path)


def _exists(location: str) -> bool:
    path = local_path(location)
    if path is None:
        return is_http(location)  # whose `?` is no wildcard
    try:
        return Path(path).exists()
    except OSError as error:
        raise BadInput(f"{location}: cannot be looked at ({error.strerror})") from error
