"""What can be scored: collections of images, as streams of rows that say where each image is."""

from artimuse.sources.folder import describe_skipped
from artimuse.sources.open import open_source
from artimuse.sources.source import Source

__all__ = ["Source", "describe_skipped", "open_source"]
