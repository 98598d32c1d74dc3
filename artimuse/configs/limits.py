"""What is fetched and decoded at all, and from where: the limits that hold for every source of images."""

from dataclasses import dataclass
from ipaddress import ip_network

from PIL import Image

DEFAULT_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
DEFAULT_MAX_BYTES = 256 * 2**20
DEFAULT_MAX_PIXELS = 200_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpAccess:
    """Which web servers images are fetched from."""

    networks: tuple[str, ...] = ()
    """Beyond public addresses, as CIDR such as 10.1.0.0/16: loopback, private and link-local ones are refused."""

    def __post_init__(self) -> None:
        for network in self.networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(
                    f"--http-networks {network}: expected a network such as 10.1.0.0/16 ({error})"
                ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """What is fetched and decoded at all. Everything else becomes a failed row before a pixel is touched."""

    formats: tuple[str, ...] = DEFAULT_FORMATS
    """Names as Pillow spells them; its JPEG reader takes MPO as well."""
    max_bytes: int = DEFAULT_MAX_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Width times height. The default takes the largest pictures phones make (200 megapixels)."""
    http: HttpAccess | None = None
    """None: http(s) URIs are refused."""

    def __post_init__(self) -> None:
        Image.init()
        unknown = [name for name in self.formats if name not in Image.OPEN]
        if unknown or not self.formats:
            known = ", ".join(sorted(Image.OPEN))
            raise ValueError(f"formats: {', '.join(unknown) or 'none'} given; Pillow here reads {known}")
        if self.max_bytes < 1 or self.max_pixels < 1:
            raise ValueError("max_bytes and max_pixels must be at least 1")
