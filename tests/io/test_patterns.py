"""Braces, and where a pattern begins."""

import pytest

from artimuse.io.patterns import expand_braces, is_pattern, split_pattern


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("{000..003}.tar", ["000.tar", "001.tar", "002.tar", "003.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("x/{a,b/c,}/y", ["x/a/y", "x/b/c/y", "x//y"]),
        ("{a,b}{0..1}", ["a0", "a1", "b0", "b1"]),
        ("{a}{}", ["{a}{}"]),
        ("plain", ["plain"]),
    ],
)
def test_braces_are_expanded_as_in_bash(location: str, expected: list[str]):
    assert list(expand_braces(location)) == expected
    assert is_pattern(location) == (expected != [location])


@pytest.mark.parametrize(
    ("location", "root", "pattern"),
    [
        ("/a/b*/c", "/a", "b*/c"),
        ("/*.jpg", "/", "*.jpg"),
        ("s3://b/x/{a,b/c}/*", "s3://b/x", "{a,b/c}/*"),
        ("s3://b/?", "s3://b", "?"),
        ("/a/{b}/[c]", "/a/{b}", "[c]"),
    ],
)
def test_a_pattern_begins_at_the_first_wildcard(location: str, root: str, pattern: str):
    assert split_pattern(location) == (root, pattern)
