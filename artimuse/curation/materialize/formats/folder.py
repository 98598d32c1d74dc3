"""`folder`: the files under their keys, and nothing else."""

from artimuse.curation.materialize.formats.defaults import InFiles, OfRows


class PlainFolder(InFiles, OfRows):
    """Implements `interface.FileFormat`."""
