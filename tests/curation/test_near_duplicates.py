import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artimuse.curation import near_duplicates as module
from artimuse.curation.near_duplicates import MAX_DISTANCE, near_duplicates
from tests.curation.brute_force import groups_by_brute_force

Hashes = NDArray[np.uint64]

DISTANCES = (0, 1, 2, 6, 7, 10, MAX_DISTANCE)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred hashes take the ways that otherwise only large runs of equal keys take."""
    monkeypatch.setattr(module, "_LONG_RUN", 4)
    monkeypatch.setattr(module, "_MAX_PAIRS", 200)
    monkeypatch.setattr(module, "_PAIRS_AT_A_TIME", 64)


def unrelated(num_hashes: int, *, seed: int = 0, num_bits: int = 64) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**num_bits, num_hashes, dtype=np.uint64)


def with_flips(hashes: Hashes, num_flips: int, *, seed: int = 1) -> Hashes:
    """Each with up to this many bits changed."""
    bits = np.random.default_rng(seed).integers(0, 64, (num_flips, len(hashes)), dtype=np.uint64)
    return np.bitwise_xor.reduce(np.vstack([hashes[None], np.uint64(1) << bits]))


def clustered(num_hashes: int, num_centres: int, num_flips: int) -> Hashes:
    """Around so many centres."""
    centres = unrelated(num_centres)
    return with_flips(centres[np.arange(num_hashes) % num_centres], num_flips)


def skewed(num_hashes: int, share: float) -> Hashes:
    """Each bit is set in this share of the hashes."""
    bits = np.random.default_rng(0).random((num_hashes, 64)) < share
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


COLLECTIONS = {
    "unrelated": unrelated(2_000),
    "pairs and triples": clustered(2_000, 900, 4),
    "a few close clusters": clustered(2_000, 5, 3),
    "one wide cluster": clustered(2_000, 1, 10),
    "half of all in a wide cluster": np.concatenate([unrelated(1_000), clustered(1_000, 1, 8)]),
    "few bits that vary": unrelated(2_000, num_bits=20),
    "fewer than the distance": unrelated(2_000, num_bits=5) << np.uint64(40),
    "bits that are seldom set": skewed(2_000, 0.15),
    "many repeats": unrelated(300)[np.arange(2_000) % 300],
    "the greatest hashes": ~clustered(2_000, 40, 5),
}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_groups_equal_those_of_comparing_all_pairs(name: str):
    for distance in DISTANCES:
        assert np.array_equal(
            near_duplicates(COLLECTIONS[name], distance), groups_by_brute_force(COLLECTIONS[name], distance)
        ), distance


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("name", COLLECTIONS)
def test_groups_are_the_same_whatever_is_large(name: str):
    hashes = COLLECTIONS[name][:600]
    for distance in (1, 3, 6):
        assert np.array_equal(near_duplicates(hashes, distance), groups_by_brute_force(hashes, distance)), distance


def test_twenty_thousand_hashes_take_the_way_of_keys_and_equal_brute_force():
    """More pairs than are compared directly, and runs of equal keys of all lengths."""
    hashes = np.concatenate([unrelated(12_000), clustered(6_000, 1_500, 6), skewed(2_000, 0.05)])
    np.random.default_rng(2).shuffle(hashes)
    assert np.array_equal(near_duplicates(hashes, 6), groups_by_brute_force(hashes, 6))


def test_a_code_without_close_pairs_in_few_bits_stays_apart():
    """All 4,096 words of the Golay code differ in 7 bits or more: every comparison is in vain."""
    generator = 0b101011100011
    words = np.zeros(4_096, dtype=np.uint64)
    for bit in range(12):
        is_set = np.arange(4_096, dtype=np.uint64) >> np.uint64(bit) & np.uint64(1)
        words ^= is_set * np.uint64(generator << bit)
    assert np.array_equal(near_duplicates(words, 6), np.arange(4_096))
    assert not near_duplicates(words, 7).any()


def test_no_hashes_have_no_groups():
    groups = near_duplicates(unrelated(0), 6)
    assert (groups.shape, groups.dtype) == ((0,), np.int64)


def test_a_single_hash_is_its_own_group():
    assert near_duplicates(unrelated(1), 6).tolist() == [0]


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_hashes_are_one_group_at_any_distance(distance: int):
    assert not near_duplicates(np.full(100_000, 7, dtype=np.uint64), distance).any()


def test_a_group_is_named_by_its_first_hash():
    hashes = np.array([2**40, 255, 2**40, 254, 2**40 + 1], dtype=np.uint64)
    assert near_duplicates(hashes, 1).tolist() == [0, 1, 0, 1, 0]


def test_a_chain_is_one_group_though_its_ends_are_far_apart():
    chain = np.array([(1 << length) - 1 for length in range(64)], dtype=np.uint64)
    assert not near_duplicates(chain[::-1].copy(), 1).any()


def test_hashes_are_left_as_they_are():
    hashes = unrelated(5_000)
    before = hashes.copy()
    near_duplicates(hashes, 6)
    assert np.array_equal(hashes, before)


@pytest.mark.parametrize("distance", [-1, MAX_DISTANCE + 1])
def test_a_distance_that_is_out_of_range_is_refused(distance: int):
    with pytest.raises(ValueError, match=r"it must be within 0\.\.16 bits"):
        near_duplicates(unrelated(2), distance)


@pytest.mark.parametrize("hashes", [np.zeros(3, dtype=np.int64), np.zeros((2, 2), dtype=np.uint64)])
def test_other_arrays_are_refused(hashes: Hashes):
    with pytest.raises(ValueError, match=r"must be uint64 of shape \(N,\)"):
        near_duplicates(hashes, 6)


@st.composite
def hashes_near_centres(draw: st.DrawFn) -> Hashes:
    centres = np.array(draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)), dtype=np.uint64)
    chosen = np.array(draw(st.lists(st.integers(0, len(centres) - 1), max_size=60)), dtype=np.int64)
    return with_flips(centres[chosen], draw(st.integers(1, 12)), seed=draw(st.integers(0, 1_000)))


@pytest.mark.usefixtures("small_limits")
def test_any_hashes_at_any_distance_equal_brute_force():
    @settings(max_examples=100, deadline=None, derandomize=True, print_blob=True)
    @given(hashes=hashes_near_centres(), distance=st.integers(0, MAX_DISTANCE))
    def check(hashes: Hashes, distance: int) -> None:
        assert np.array_equal(near_duplicates(hashes, distance), groups_by_brute_force(hashes, distance))

    check()


@pytest.mark.usefixtures("small_limits")
def test_the_order_of_hashes_does_not_change_who_is_together():
    @settings(max_examples=50, deadline=None, derandomize=True, print_blob=True)
    @given(hashes=hashes_near_centres(), distance=st.integers(0, MAX_DISTANCE), seed=st.integers(0, 1_000))
    def check(hashes: Hashes, distance: int, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(hashes))
        groups, groups_in_order = near_duplicates(hashes, distance), near_duplicates(hashes[order], distance)
        together = groups[order][:, None] == groups[order]
        assert np.array_equal(groups_in_order[:, None] == groups_in_order, together)

    check()
