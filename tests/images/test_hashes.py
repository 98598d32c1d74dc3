import imagehash
import numpy as np
from PIL import Image

from artimuse.images.hashes import phash


def test_phash_equals_the_imagehash_library():
    for seed in range(20):
        small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        pixels = np.asarray(Image.fromarray(small).resize((448, 448), Image.Resampling.BICUBIC))
        assert phash(pixels) == int(str(imagehash.phash(Image.fromarray(pixels))), 16)
