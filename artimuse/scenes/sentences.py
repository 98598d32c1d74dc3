"""One sentence per attribute, saying what is to be seen, and which class a sentence names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from artimuse.scenes.parameters import Scene, Stream


@dataclass(frozen=True, slots=True)
class Topic:
    """What the sentences on one attribute are about, and how they say it."""

    parameter: str
    """The property of `Scene` whose value is the class."""
    words: Mapping[str, tuple[str, ...]]
    """Class -> the words that name it, none of which is used for anything else in any sentence."""
    templates: tuple[str, ...]
    """Sentences with {} for those words."""


TOPICS: Mapping[str, Topic] = {
    "composition_and_design": Topic(
        "place",
        {
            "centre": ("centre", "middle"),
            "upper left": ("upper left", "top left"),
            "upper right": ("upper right", "top right"),
            "lower left": ("lower left", "bottom left"),
            "lower right": ("lower right", "bottom right"),
        },
        (
            "The subject sits in the {} of the frame and settles its balance.",
            "The eye finds the subject in the {} of the frame at once.",
            "With the subject in the {}, the layout has its focal point there.",
            "The layout puts its focal point, the subject, in the {}.",
        ),
    ),
    "visual_elements_and_structure": Topic(
        "clutter",
        {
            "bare": ("bare", "empty"),
            "sparse": ("sparse", "uncluttered"),
            "busy": ("busy", "lively"),
            "crowded": ("crowded", "cramped"),
        },
        (
            "The space around the subject is {}, which decides how the structure reads.",
            "Around the subject the picture looks {}, and the structure follows from that.",
            "Its spatial organization is {}: that is what surrounds the subject.",
            "What surrounds the subject is {}, and the arrangement reads that way.",
        ),
    ),
    "technical_execution": Topic(
        "focus",
        {
            "sharp": ("sharp", "crisp"),
            "soft": ("soft", "gentle"),
            "blurred": ("blurred", "blurry"),
            "smeared": ("smeared", "mushy"),
        },
        (
            "The focus is {}, as the edges of every shape show.",
            "Edges come out {}, which tells how well the focus was set.",
            "Technically the picture is {}, judging by its edges and fine lines.",
            "Fine lines look {} here, for that is how it was focused.",
        ),
    ),
    "originality_and_creativity": Topic(
        "pattern",
        {
            "horizontal": ("horizontal stripes", "level stripes"),
            "vertical": ("vertical stripes", "upright stripes"),
            "diagonal": ("diagonal stripes", "slanting stripes"),
            "chequered": ("a chequered grid", "a chequerboard"),
        },
        (
            "Setting the subject against {} is the idea behind the picture.",
            "The ground is made of {}, an idea that carries the picture.",
            "The inventive touch is a backdrop of {} behind the subject.",
            "The backdrop shows {}, and this is what makes it unusual.",
        ),
    ),
    "theme_and_communication": Topic(
        "shape",
        {
            "circle": ("circle", "disc"),
            "square": ("square", "box"),
            "triangle": ("triangle", "wedge"),
            "star": ("star", "pentagram"),
        },
        (
            "The subject is a {}, and nothing hides what is meant.",
            "A single {} is the theme, told without any detour.",
            "The picture speaks of one thing only, a {} on its ground.",
            "What it communicates is plain to see: a {} stands for itself.",
        ),
    ),
    "emotion_and_viewer_response": Topic(
        "light",
        {
            "dark": ("dark", "gloomy"),
            "dim": ("dim", "subdued"),
            "balanced": ("balanced", "natural"),
            "glaring": ("glaring", "dazzling"),
        },
        (
            "The light is {}, and that sets the mood for the viewer.",
            "Its {} light is what the viewer feels first of all.",
            "Viewers respond to the {} light before they notice anything else.",
            "The exposure is {}, which gives the picture its emotional tone.",
        ),
    ),
    "overall_gestalt": Topic(
        "harmony",
        {
            "related": ("related", "neighbouring"),
            "clashing": ("clashing", "jarring"),
            "triadic": ("triadic", "contrasting"),
            "complementary": ("complementary", "opposite"),
        },
        (
            "The colours of subject and ground are {}, which makes the whole.",
            "Taken together, {} colours hold subject and ground in one whole.",
            "The whole lives on {} colours in the subject and the ground.",
            "As a whole the picture rests on {} hues of subject and ground.",
        ),
    ),
    "comprehensive_evaluation": Topic(
        "impact",
        {
            "faint": ("faint", "weak"),
            "modest": ("modest", "mild"),
            "clear": ("clear", "distinct"),
            "striking": ("striking", "powerful"),
        },
        (
            "All in all the subject makes a {} impact against its ground.",
            "Altogether the picture has a {} visual impact on the viewer.",
            "The overall verdict is a {} impact of the subject on its ground.",
            "In sum, its effect is {}: that much the subject stands out.",
        ),
    ),
}
"""The sentences by the slugs of `attributes.ATTRIBUTES`."""


def write_sentences(scene: Scene) -> dict[str, str]:
    """Attribute slug -> one sentence of 8 to 16 words; the wording differs from scene to scene."""
    random = scene.random(Stream.SENTENCES)
    texts = {}
    for slug, topic in TOPICS.items():
        words = topic.words[true_class(slug, scene)]
        template = topic.templates[random.randint(len(topic.templates))]
        texts[slug] = template.format(words[random.randint(len(words))])
    return texts


def true_class(slug: str, scene: Scene) -> str:
    """What a sentence on this attribute ought to name. Raises ValueError for a slug that is no attribute's."""
    name: str = getattr(scene, _topic(slug).parameter)
    return name


def named_class(slug: str, text: str) -> str | None:
    """The class that a text on this attribute names, in any wording; None if it names none, or several.

    Raises ValueError for a slug that is no attribute's.
    """
    named = [name for name, pattern in _patterns(slug).items() if pattern.search(text)]
    return named[0] if len(named) == 1 else None


@cache
def _patterns(slug: str) -> dict[str, re.Pattern[str]]:
    return {
        name: re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
        for name, words in _topic(slug).words.items()
    }


def _topic(slug: str) -> Topic:
    if slug not in TOPICS:
        raise ValueError(f"{slug!r} is no attribute; expected one of {', '.join(TOPICS)}")
    return TOPICS[slug]
