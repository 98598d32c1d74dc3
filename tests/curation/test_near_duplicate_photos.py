from pathlib import Path

import numpy as np
import pytest

from artimuse.curation.near_duplicates import near_duplicates
from tests.curation.brute_force import groups_by_brute_force
from tests.curation.photos import CHANGES, hashes_after

FOUND_AT_6 = (
    "JPEG, quality 85",
    "JPEG, quality 50",
    "half the size",
    "a quarter of the size",
    "grey",
    "1 % cropped at each side",
)
NEVER_FOUND_AT_6 = ("10 % cropped at each side", "white border of 5 %", "flipped")


@pytest.fixture(scope="module")
def hashes(test_data: Path) -> dict[str, list[int]]:
    photos = test_data / "corpora" / "photos"
    if not photos.is_dir():
        pytest.skip(f"{photos} is not there: the photographs are needed")
    return hashes_after(photos)


def distances(hashes: dict[str, list[int]], name: str) -> list[int]:
    return [(before ^ after).bit_count() for before, after in zip(hashes["unchanged"], hashes[name])]


@pytest.mark.parametrize("name", FOUND_AT_6)
def test_a_photo_is_found_at_6_bits_after_a_change_that_keeps_its_frame(hashes: dict[str, list[int]], name: str):
    unchanged, changed = np.array(hashes["unchanged"], dtype=np.uint64), np.array(hashes[name], dtype=np.uint64)
    groups = near_duplicates(np.concatenate([unchanged, changed]), 6)
    assert np.array_equal(groups[: len(unchanged)], groups[len(unchanged) :])
    assert max(distances(hashes, name)) <= 4


@pytest.mark.parametrize("name", NEVER_FOUND_AT_6)
def test_no_photo_is_found_at_6_bits_after_a_change_of_its_frame(hashes: dict[str, list[int]], name: str):
    assert min(distances(hashes, name)) > 6


def test_most_photos_are_not_found_at_6_bits_after_a_crop_of_5_percent(hashes: dict[str, list[int]]):
    found = np.array(distances(hashes, "5 % cropped at each side")) <= 6
    assert 0 < found.mean() < 0.5


def test_hashes_of_photos_differ_in_an_even_number_of_bits(hashes: dict[str, list[int]]):
    """Half of the bits are set, those above the median: a distance of 6 finds what 7 finds."""
    flat = [each for some in hashes.values() for each in some]
    assert {each.bit_count() for each in flat} == {32}


@pytest.mark.parametrize("distance", [0, 2, 4, 6, 8, 10, 12])
def test_groups_of_all_changed_photos_equal_those_of_comparing_all_pairs(hashes: dict[str, list[int]], distance: int):
    flat = np.array([each for name in ("unchanged", *CHANGES) for each in hashes[name]], dtype=np.uint64)
    assert np.array_equal(near_duplicates(flat, distance), groups_by_brute_force(flat, distance))
