"""Labelled images for training and evaluation. To add a data set: one file, and its name in `READERS`."""

from importlib import import_module

from artimuse.interfaces import DatasetReader

# As "module:class", so that choosing one reader does not import the packages of the others.
READERS: dict[str, str] = {
    "table": "artimuse.datasets.table:TableReader",
}


def open_reader(name: str) -> DatasetReader:
    """Raises ValueError, naming the readers there are, for a name that is none of them."""
    if name not in READERS:
        raise ValueError(f"data set {name!r}: expected one of {', '.join(READERS)}")
    module, _, attribute = READERS[name].partition(":")
    reader: DatasetReader = getattr(import_module(module), attribute)()
    return reader
