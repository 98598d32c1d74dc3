"""What a picture shows, without judging it: for teaching a model to see, and the words, before it learns to judge."""

from artimuse.scenes.colours import name_hue
from artimuse.scenes.parameters import Scene, Stream
from artimuse.scenes.sentences import TOPICS, true_class

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
    """A sentence with the subject's colour, shape and place and the ground's colour and pattern; then a list of words.

    The list has one word for each attribute, in any order.
    """
    random = scene.random(Stream.CAPTION)
    subject = _with_article(f"{name_hue(scene.hue_deg + scene.hue_step_deg)} {scene.shape}")
    ground = f"{_with_article(name_hue(scene.hue_deg))} ground {_PATTERNED[scene.pattern]}"
    template = _TEMPLATES[random.randint(len(_TEMPLATES))]
    sentence = template.format(subject=subject, place=scene.place, ground=ground)
    choices = [topic.words[true_class(slug, scene)] for slug, topic in TOPICS.items()]
    words = [choices[i][random.randint(len(choices[i]))] for i in random.permutation(len(choices))]
    return f"{sentence[0].upper()}{sentence[1:]} Words: {', '.join(words)}."


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
