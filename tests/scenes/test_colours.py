"""Colours: known points of OKLCH, exposure, and names."""

import pytest

from artimuse.scenes.colours import HUE_NAMES, colour, name_hue


def test_white_black_and_grey_are_themselves():
    assert colour(1, 0, 0) == (255, 255, 255)
    assert colour(0, 0, 123) == (0, 0, 0)
    assert len(set(colour(0.5, 0, 77))) == 1


def test_the_primaries_of_srgb_are_where_oklch_has_them():
    # Source: Ottosson 2020, as CSS Color 4 prints the coordinates.
    assert colour(0.62796, 0.25768, 29.234) == (255, 0, 0)
    assert colour(0.86644, 0.29483, 142.495) == (0, 255, 0)
    assert colour(0.45201, 0.31321, 264.052) == (0, 0, 255)


def test_a_stop_of_exposure_doubles_the_light():
    # A light of 0.25 and 0.5 in sRGB.
    grey = 0.25 ** (1 / 3)
    assert colour(grey, 0, 0) == (137, 137, 137)
    assert colour(grey, 0, 0, exposure_stops=1) == (188, 188, 188)
    assert colour(0.9, 0, 0, exposure_stops=3) == (255, 255, 255)


@pytest.mark.parametrize(
    ("hue_deg", "name"), [(29, "red"), (389, "red"), (-331, "red"), (142, "green"), (264, "blue"), (0, "pink")]
)
def test_hues_have_everyday_names(hue_deg, name):
    assert name_hue(hue_deg) == name


def test_every_name_is_given_to_some_hue():
    assert {name_hue(hue_deg) for hue_deg in range(360)} == set(HUE_NAMES)
