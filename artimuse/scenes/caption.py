"""One sentence on what a picture shows, without judging it: for teaching a model to see before it learns to judge."""

from artimuse.scenes.colours import name_hue
from artimuse.scenes.parameters import Scene, Stream

_TEMPLATES = (
    "{subject} in the {place} on {ground}.",
    "In the {place} of {ground} there is {subject}.",
    "The picture shows {subject} in the {place} of {ground}.",
    "Against {ground} stands {subject} in the {place}.",
)
_PATTERNED = {
    "horizontal": "with horizontal stripes",
    "vertical": "with vertical stripes",
    "diagonal": "with diagonal stripes",
    "chequered": "with a chequered grid",
}


def write_caption(scene: Scene) -> str:
    """Names the subject's colour, shape and place, and the ground's colour and pattern."""
    subject = _with_article(f"{name_hue(scene.hue_deg + scene.hue_step_deg)} {scene.shape}")
    ground = f"{_with_article(name_hue(scene.hue_deg))} ground {_PATTERNED[scene.pattern]}"
    template = _TEMPLATES[scene.random(Stream.CAPTION).randint(len(_TEMPLATES))]
    caption = template.format(subject=subject, place=scene.place, ground=ground)
    return caption[0].upper() + caption[1:]


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
