import pytest

from artimuse.attributes import ATTRIBUTES, attributes_named
from artimuse.configs.score import ScoreConfig


def test_all_none_and_some_in_the_order_of_the_paper():
    assert attributes_named("all") == ATTRIBUTES
    assert attributes_named("none") == ()
    some = attributes_named("overall_gestalt, composition_and_design,overall_gestalt")
    assert [attribute.slug for attribute in some] == ["composition_and_design", "overall_gestalt"]


@pytest.mark.parametrize("names", ["beauty", "overall_gestalt,", "", "all,overall_gestalt"])
def test_what_is_no_attribute_is_refused_with_those_that_are(names):
    with pytest.raises(ValueError, match="is no attribute; expected all, none, or some of composition_and_design, "):
        attributes_named(names)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"attributes": "beauty"}, "--attributes beauty: 'beauty' is no attribute"),
        ({"attributes_where": "score > 3"}, "--attributes-where needs --attributes"),
        ({"attributes": "all", "attributes_where": " "}, "--attributes-where is empty"),
        ({"attributes": "all", "max_new_tokens": 0}, "--max-new-tokens 0: expected at least 1"),
        ({"parity_tolerance": -1.0}, "--parity-tolerance -1.0: expected 0 or more"),
        ({"parity_tolerance": float("nan")}, "--parity-tolerance nan: expected 0 or more"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        ScoreConfig(input="photos", output="table", **settings)
