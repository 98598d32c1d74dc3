"""A hash of what the model saw: pictures that look alike have hashes that differ in few bits."""

# H and W pixels, C = 3 channels
import numpy as np
from PIL import Image
from scipy.fft import dct

from artimuse.interfaces import PixelArray


def phash(pixels_HWC: PixelArray) -> int:
    """64-bit perceptual hash of what the model saw, equal to `imagehash.phash`: near-duplicates differ in few bits."""
    gray = Image.fromarray(pixels_HWC).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    low = dct(dct(np.asarray(gray, dtype=np.float64), axis=0), axis=1)[:8, :8]
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
