"""From the bytes of an image file to pixels, a hash of them, and what its generator wrote into the file."""
