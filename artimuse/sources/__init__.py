"""What can be scored: collections of images, as streams of rows that say where each image is."""

from artimuse.sources.open import open_source

__all__ = ["open_source"]
