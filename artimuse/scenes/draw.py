"""From a scene's parameters to its picture."""

import math
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from artimuse.scenes.colours import Colour, colour
from artimuse.scenes.outlines import OUTLINES
from artimuse.scenes.parameters import Scene, Stream

PICTURE_SIZE_PX = 224
"""Side of the square picture: half of what the model sees, so that nothing is lost by enlarging it."""

_CANVAS_PX = 2 * PICTURE_SIZE_PX
_PERIOD_PX = 32
_GROUND_LIGHTNESS = 0.50
_GROUND_CHROMA = 0.12
_PATTERN_LIGHTNESS = 0.05
_SUBJECT_CHROMA = 0.20
_DISTRACTOR_LIGHTNESS = (0.10, 0.18)
_DISTRACTOR_RADIUS = (0.030, 0.036)


def draw_picture(scene: Scene) -> Image.Image:
    """RGB, `PICTURE_SIZE_PX` squared."""
    # Drawn at twice the size and averaged, because edges that Pillow draws are jagged.
    canvas = _draw_ground(scene)
    draw = ImageDraw.Draw(canvas)
    _draw_distractors(draw, scene)
    _draw_subject(draw, scene)
    picture = canvas.reduce(_CANVAS_PX // PICTURE_SIZE_PX)
    return picture.filter(ImageFilter.GaussianBlur(scene.blur * PICTURE_SIZE_PX))


def save_picture(scene: Scene, path: Path) -> None:
    """Writes a JPEG of about 9 kB."""
    # Colour at full resolution: halved, it would blur the edge between subject and ground in sharp pictures too.
    draw_picture(scene).save(path, "JPEG", quality=90, subsampling=0)


def _draw_ground(scene: Scene) -> Image.Image:
    dark, light = (
        _photographed(scene, _GROUND_LIGHTNESS + step, _GROUND_CHROMA, scene.hue_deg)
        for step in (-_PATTERN_LIGHTNESS, _PATTERN_LIGHTNESS)
    )
    ground = _pattern(scene.pattern).copy()
    ground.putpalette([*dark, *light])
    return ground.convert("RGB")


def _draw_distractors(draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    """Discs and squares, nearly black, touching neither the subject nor each other."""
    random = scene.random(Stream.DISTRACTORS)
    taken = [(scene.x, scene.y, scene.radius)]
    while len(taken) <= scene.num_distractors:
        radius = random.uniform(*_DISTRACTOR_RADIUS)
        x, y = random.uniform(1.3 * radius, 1 - 1.3 * radius, 2)
        if any(math.hypot(x - other_x, y - other_y) < 1.5 * radius + other for other_x, other_y, other in taken):
            continue
        taken.append((x, y, radius))
        fill = _photographed(scene, random.uniform(*_DISTRACTOR_LIGHTNESS), 0, 0)
        box = [_CANVAS_PX * at for at in (x - radius, y - radius, x + radius, y + radius)]
        (draw.ellipse if random.randint(2) else draw.rectangle)(box, fill=fill)


def _draw_subject(draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    x, y, radius = (_CANVAS_PX * at for at in (scene.x, scene.y, scene.radius))
    tilt = math.radians(scene.tilt_deg)
    across, along = radius * math.cos(tilt), radius * math.sin(tilt)
    corners = [
        (x + across * right - along * down, y + along * right + across * down) for right, down in OUTLINES[scene.shape]
    ]
    fill = _photographed(scene, _GROUND_LIGHTNESS + scene.contrast, _SUBJECT_CHROMA, scene.hue_deg + scene.hue_step_deg)
    draw.polygon(corners, fill=fill)


def _photographed(scene: Scene, lightness: float, chroma: float, hue_deg: float) -> Colour:
    return colour(lightness, chroma, hue_deg, exposure_stops=scene.exposure_stops)


@cache
def _pattern(name: str) -> Image.Image:
    """A picture of two colours, numbered 0 and 1."""
    # One period is one patch of the small models: every patch shows the same part of it, at any place.
    rows, columns = np.indices((_CANVAS_PX, _CANVAS_PX))
    along = {"horizontal": rows, "vertical": columns, "diagonal": rows + columns}
    is_light = {direction: at % _PERIOD_PX < _PERIOD_PX // 2 for direction, at in along.items()}
    is_light["chequered"] = is_light["horizontal"] ^ is_light["vertical"]
    return Image.frombytes("P", (_CANVAS_PX, _CANVAS_PX), is_light[name].astype(np.uint8).tobytes())
