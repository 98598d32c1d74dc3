"""What a picture shows, without judging it: for teaching a model to see, and the words, before it learns to judge."""

from artimuse.scenes.colours import name_hue
from artimuse.scenes.parameters import Scene

_PATTERNED = {
    "horizontal": "with horizontal stripes",
    "vertical": "with vertical stripes",
    "diagonal": "with diagonal stripes",
    "chequered": "with a chequered grid",
}


def write_caption(scene: Scene) -> str:
    """What is where, in which colours, and a word for each property that cannot be pointed at; always in one order.

    There is no choice of wording in it, so that all that is left to learn is what is in the picture.
    """
    subject = _with_article(f"{name_hue(scene.hue_deg + scene.hue_step_deg)} {scene.shape}")
    ground = f"{_with_article(name_hue(scene.hue_deg))} ground {_PATTERNED[scene.pattern]}"
    properties = ", ".join((scene.clutter, scene.focus, scene.light, scene.harmony, scene.impact))
    sentence = f"{subject} in the {scene.place} of {ground}; {properties}."
    return sentence[0].upper() + sentence[1:]


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
