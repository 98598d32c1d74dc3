"""The eight aesthetic attributes of the paper (appendix A.1, table 5)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attribute:
    """One axis of the written analysis."""

    slug: str
    """Column name in the score table and in the annotation table."""
    name: str
    """The words used in prompts, as the paper spells them."""
    description: str
    """Background knowledge quoted to annotators (paper table 5)."""


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        "composition_and_design",
        "Composition & Design",
        "Evaluate the balance, contrast, layout aesthetics, and rhythm of the composition. Focus on the use of "
        "dynamic focal points, unity, and harmony in the design.",
    ),
    Attribute(
        "visual_elements_and_structure",
        "Visual Elements & Structure",
        "Analyze the interplay of color, geometry, spatial organization, and illumination to optimize visual "
        "contrast and structural clarity.",
    ),
    Attribute(
        "technical_execution",
        "Technical Execution",
        "Examine the mastery of medium and materials, including brushstrokes, focus, exposure, light handling, "
        "as well as clarity and resolution of the image.",
    ),
    Attribute(
        "originality_and_creativity",
        "Originality & Creativity",
        "Analyze the uniqueness of the concept and execution, focusing on how the work exceeds common styles "
        "with imagination, and creative breakthroughs.",
    ),
    Attribute(
        "theme_and_communication",
        "Theme & Communication",
        "Evaluate the clarity of the subject and its communication. Consider how effectively the narrative, "
        "cultural significance, and societal context are conveyed.",
    ),
    Attribute(
        "emotion_and_viewer_response",
        "Emotion & Viewer Response",
        "Assess how well the work evokes an emotional response, engages the viewer, and creates lasting "
        "impressions with personal significance.",
    ),
    Attribute(
        "overall_gestalt",
        "Overall Gestalt",
        "Evaluate the overall visual appeal and artistic impact of the image, considering how well the elements "
        "combine to create an engaging, meaningful impression.",
    ),
    Attribute(
        "comprehensive_evaluation",
        "Comprehensive Evaluation",
        "Provide a comprehensive aesthetics assessment of the image, evaluating its effectiveness in visual "
        "impact, theme communication, and artistic depth.",
    ),
)


def attributes_named(names: str) -> tuple[Attribute, ...]:
    """`all`, `none`, or slugs separated by commas; in the order of the paper.

    Raises ValueError naming the slug that is not one.
    """
    if names in ("all", "none"):
        return ATTRIBUTES if names == "all" else ()
    asked = [name.strip() for name in names.split(",")]
    known = [attribute.slug for attribute in ATTRIBUTES]
    for slug in asked:
        if slug not in known:
            raise ValueError(f"{slug!r} is no attribute; expected all, none, or some of {', '.join(known)}")
    return tuple(attribute for attribute in ATTRIBUTES if attribute.slug in asked)
