"""What a synthetic picture is made from: parameters that are drawn independently of each other."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

Band = tuple[float, float]

PLACES: Mapping[str, tuple[int, int]] = {
    "centre": (0, 0),
    "upper left": (-1, -1),
    "upper right": (1, -1),
    "lower left": (-1, 1),
    "lower right": (1, 1),
}
"""Where the subject is: the direction from the middle of the picture, x to the right and y down."""
SHAPES = ("circle", "square", "triangle", "star")
PATTERNS = ("horizontal", "vertical", "diagonal", "chequered")
# There are gaps between bands: which one it is must show in the picture, also when it is near the end of its band.
CLUTTERS: Mapping[str, Band] = {"bare": (0, 0), "sparse": (2, 3), "busy": (6, 8), "crowded": (13, 16)}
"""Number of distractors, both ends included."""
FOCUSES: Mapping[str, Band] = {
    "sharp": (0, 0.001),
    "soft": (0.004, 0.005),
    "blurred": (0.008, 0.010),
    "smeared": (0.014, 0.017),
}
"""Standard deviation of the blur, as a fraction of the side."""
LIGHTS: Mapping[str, Band] = {
    "dark": (-1.8, -1.5),
    "dim": (-0.9, -0.7),
    "balanced": (-0.15, 0.15),
    "glaring": (0.5, 0.75),
}
"""Exposure in stops: each doubles or halves the light."""
HARMONIES: Mapping[str, Band] = {
    "related": (4, 26),
    "clashing": (62, 86),
    "triadic": (112, 132),
    "complementary": (160, 180),
}
"""How far the hues of subject and ground are apart, in degrees without the sign."""
IMPACTS: Mapping[str, Band] = {
    "faint": (0.12, 0.14),
    "modest": (0.20, 0.22),
    "clear": (0.28, 0.31),
    "striking": (0.38, 0.41),
}
"""How much lighter the subject is than the ground; white is lighter than black by 1."""

_THIRD = 1 / 3
_MAX_OFF_THIRD = 0.14
_MAX_OFF_CENTRE = 0.04
_MAX_TURN_RAD = math.radians(40)
_RADIUS: Band = (0.19, 0.21)
_MAX_TILT_DEG = 8.0


class Stream(IntEnum):
    """One stream of random numbers per purpose: a change to one leaves the others as they were."""

    PARAMETERS = 0
    DISTRACTORS = 1
    ANNOTATORS = 2
    SENTENCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One picture before it is drawn. Lengths are fractions of the picture's side."""

    number: int
    """The number of the scene, from 0; a split is a range of numbers."""
    seed: int
    place: str
    """One of `PLACES`."""
    x: float
    """Middle of the subject, from the left edge."""
    y: float
    """Middle of the subject, from the upper edge."""
    shape: str
    """One of `SHAPES`."""
    radius: float
    """The radius of the circle around the subject."""
    tilt_deg: float
    """How far the subject is turned clockwise."""
    pattern: str
    """The pattern of the ground; one of `PATTERNS`."""
    hue_deg: float
    """The hue of the ground, 0..360 on the circle of `colours`."""
    hue_step_deg: float
    """The step from the ground's hue to the subject's, -180..180; its size is in one of `HARMONIES`."""
    contrast: float
    """The contrast, in one of `IMPACTS`."""
    exposure_stops: float
    """The exposure, in one of `LIGHTS`."""
    blur: float
    """The blur, in one of `FOCUSES`."""
    num_distractors: int
    """The number of distractors, in one of `CLUTTERS`."""

    @property
    def clutter(self) -> str:
        return _band_around(CLUTTERS, self.num_distractors)

    @property
    def focus(self) -> str:
        return _band_around(FOCUSES, self.blur)

    @property
    def light(self) -> str:
        return _band_around(LIGHTS, self.exposure_stops)

    @property
    def harmony(self) -> str:
        return _band_around(HARMONIES, abs(self.hue_step_deg))

    @property
    def impact(self) -> str:
        return _band_around(IMPACTS, self.contrast)

    @property
    def off_third(self) -> float:
        """Distance of the subject from the nearest crossing of the lines of the rule of thirds, 0..0.28."""
        return math.hypot(*(min(abs(at - _THIRD), abs(at - 1 + _THIRD)) for at in (self.x, self.y)))

    def random(self, stream: Stream) -> np.random.RandomState:
        """The scene's random numbers for one purpose, from the first one on."""
        return _random(self.number, self.seed, stream)


def choose_scene(number: int, *, seed: int = 0) -> Scene:
    """The scene of this number: the same one on every machine.

    Raises ValueError for a number or a seed outside 0..2**32-1.
    """
    for name, value in (("number", number), ("seed", seed)):
        if not 0 <= value < 2**32:
            raise ValueError(f"scene {name} {value}: expected 0 to 2**32 - 1")
    random = _random(number, seed, Stream.PARAMETERS)
    place = _one_of(random, tuple(PLACES))
    x, y = _position(random, place)
    return Scene(
        number=number,
        seed=seed,
        place=place,
        x=x,
        y=y,
        shape=_one_of(random, SHAPES),
        radius=random.uniform(*_RADIUS),
        tilt_deg=random.uniform(-_MAX_TILT_DEG, _MAX_TILT_DEG),
        pattern=_one_of(random, PATTERNS),
        hue_deg=random.uniform(0, 360),
        hue_step_deg=(1 if random.randint(2) else -1) * _value(random, HARMONIES),
        contrast=_value(random, IMPACTS),
        exposure_stops=_value(random, LIGHTS),
        blur=_value(random, FOCUSES),
        num_distractors=_count(random, CLUTTERS),
    )


def _position(random: np.random.RandomState, place: str) -> tuple[float, float]:
    """Off the crossing of the thirds towards the corner, any distance being as likely; or about the middle."""
    if place == "centre":
        x, y, turn_rad, max_distance = 0.5, 0.5, random.uniform(-math.pi, math.pi), _MAX_OFF_CENTRE
    else:
        right, down = PLACES[place]
        x, y = (0.5 + sign * (0.5 - _THIRD) for sign in (right, down))
        turn_rad = math.atan2(down, right) + random.uniform(-_MAX_TURN_RAD, _MAX_TURN_RAD)
        max_distance = _MAX_OFF_THIRD
    distance = random.uniform(0, max_distance)
    return x + distance * math.cos(turn_rad), y + distance * math.sin(turn_rad)


def _random(number: int, seed: int, stream: Stream) -> np.random.RandomState:
    # NumPy keeps the numbers of RandomState for ever and may change those of Generator (NEP 19).
    return np.random.RandomState([seed, number, stream])


def _one_of(random: np.random.RandomState, names: tuple[str, ...]) -> str:
    return names[random.randint(len(names))]


def _value(random: np.random.RandomState, bands: Mapping[str, Band]) -> float:
    return random.uniform(*bands[_one_of(random, tuple(bands))])


def _count(random: np.random.RandomState, bands: Mapping[str, Band]) -> int:
    fewest, most = bands[_one_of(random, tuple(bands))]
    return random.randint(int(fewest), int(most) + 1)


def _band_around(bands: Mapping[str, Band], value: float) -> str:
    return next(name for name, (low, high) in bands.items() if low <= value <= high)
