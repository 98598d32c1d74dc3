"""The shapes that a subject can have, as polygons in a circle of radius 1 around 0, 0: x to the right, y down."""

import math

Point = tuple[float, float]

_STAR_INNER_RADIUS = 0.30


def _around(num_points: int, *, first_deg: float, radii: tuple[float, ...] = (1.0,)) -> list[Point]:
    """Points at equal angles, clockwise; their distances from the middle are `radii` in turn."""
    angles = [math.radians(first_deg + 360 * i / num_points) for i in range(num_points)]
    return [
        (radii[i % len(radii)] * math.cos(angle), radii[i % len(radii)] * math.sin(angle))
        for i, angle in enumerate(angles)
    ]


# The areas differ by design, from 3.1 to 0.9: that is what is left of a shape in a blurred picture.
OUTLINES: dict[str, list[Point]] = {
    "circle": _around(72, first_deg=0),
    "square": _around(4, first_deg=45),
    "triangle": _around(3, first_deg=-90),
    "star": _around(10, first_deg=-90, radii=(1.0, _STAR_INNER_RADIUS)),
}
