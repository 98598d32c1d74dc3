"""What can be scored: collections of images, as streams of rows that say where each image is."""

from artimuse.interfaces import Source
from artimuse.sources.folder import describe_skipped
from artimuse.sources.open import open_source

__all__ = ["Source", "describe_skipped", "open_source"]
