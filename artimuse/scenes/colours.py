"""Colours by lightness, chroma and hue as the eye judges them, and what an exposure makes of them."""

import math

Colour = tuple[int, int, int]

_NAMED_HUES: tuple[tuple[float, str], ...] = (
    (5, "pink"),
    (45, "red"),
    (80, "orange"),
    (120, "yellow"),
    (165, "green"),
    (215, "teal"),
    (280, "blue"),
    (325, "violet"),
    (360, "pink"),
)
"""Where each named hue ends, in degrees."""
HUE_NAMES = tuple(sorted({name for _, name in _NAMED_HUES}))


def colour(lightness: float, chroma: float, hue_deg: float, *, exposure_stops: float = 0.0) -> Colour:
    """sRGB, 0..255, of an OKLCH colour photographed with this exposure; what sRGB cannot show is clipped.

    Lightness is 0 (black) to 1 (white), chroma 0 (grey) to about 0.3. Equal steps look equal in any hue, unlike in
    HSV, whose yellow is far lighter than its blue.
    Source: Ottosson, "A perceptual color space for image processing", 2020.
    """
    a, b = (chroma * turn(math.radians(hue_deg)) for turn in (math.cos, math.sin))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    gain = 2.0**exposure_stops
    return (
        _encode(gain * (4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short)),
        _encode(gain * (-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short)),
        _encode(gain * (-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short)),
    )


def name_hue(hue_deg: float) -> str:
    """The everyday word for a hue of any number of degrees: one of `HUE_NAMES`."""
    return next(name for end_deg, name in _NAMED_HUES if hue_deg % 360 < end_deg)


def _encode(light: float) -> int:
    """The sRGB value for linear light, of which 0..1 can be shown."""
    light = min(max(light, 0.0), 1.0)
    encoded = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return round(255 * encoded)
