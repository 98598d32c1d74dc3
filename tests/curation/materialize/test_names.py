"""Names of files: safe on every disk, and never the same for two images."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artimuse.curation.materialize.collisions import Collisions
from artimuse.curation.materialize.names import (
    MAX_NAME_BYTES,
    MAX_SEGMENT_BYTES,
    NameRule,
    SafeName,
    fold,
    possible_files,
    safe_name,
    sidecar,
    tagged,
)

RULE = NameRule()


def name(image_id: str, file_format: str | None = "JPEG", rule: NameRule = RULE, table_name: str | None = None) -> str:
    return safe_name(image_id, file_format, rule, table_name=table_name).name


@pytest.mark.parametrize(
    "image_id", ["a.jpg", "a b/c.d/é ☃.JPeG", "x.tar#key.png", "100%.webp", "-a.gif", "a~b.jpg", "contact/x.jpg"]
)
def test_keys_that_are_safe_are_the_names(image_id: str):
    assert safe_name(image_id, "JPEG", RULE, table_name=None) == SafeName(image_id, is_mapped=False)


@pytest.mark.parametrize(
    ("image_id", "file_format", "expected"),
    [
        ("x.tar#000", "JPEG", "x.tar#000.jpg"),
        ("x.parquet#7", "PNG deep", "x.parquet#7.png"),
        ("photo.v2", "WEBP", "photo.v2.webp"),
        ("key", "MPO", "key.jpg"),
        ("key", None, "key"),
    ],
)
def test_keys_without_a_suffix_get_that_of_the_format(image_id: str, file_format: str | None, expected: str):
    assert safe_name(image_id, file_format, RULE, table_name=None) == SafeName(expected, is_mapped=False)


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd.jpg"),
        ("/abs/x.jpg", "abs/x.jpg"),
        ("a//b/./c.jpg", "a/b/%2E/c.jpg"),
        ("C:\\x\\y.jpg", "C%3A%5Cx%5Cy.jpg"),
        ("s3://bucket/x.jpg", "s3%3A/bucket/x.jpg"),
        ("CON.jpg", "%43ON.jpg"),
        ("a/nul/com1.png", "a/%6Eul/%63om1.png"),
        ("line\nfeed\x00.jpg", "line%0Afeed%00.jpg"),
        ("latin-\\xe9.jpg", "latin-%5Cxe9.jpg"),
        ("gpj.\u202egpj", "gpj.%E2%80%AEgpj.jpg"),
        (".hidden.jpg", "%2Ehidden.jpg"),
        ("dot./space /x.jpg", "dot%2E/space%20/x.jpg"),
        (".materialize/0.jpg", "%2Ematerialize/0.jpg"),
        ("Materialize.JSON/0.jpg", "%4Daterialize.JSON/0.jpg"),
        ("///", "%2Ejpg"),
    ],
)
def test_what_a_name_may_not_have_is_written_out(image_id: str, expected: str):
    assert safe_name(image_id, "JPEG", RULE, table_name=None) == SafeName(expected, is_mapped=True)


def test_long_keys_are_cut_and_stay_apart():
    keys = ["x" * 300 + end for end in ("a.jpg", "b.jpg")] + ["é" * 200 + ".png", "d/" * 700 + "x.jpg"]
    names = [name(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(len(segment.encode()) < 220 for found in names for segment in found.split("/"))
    assert all(len(found.encode()) <= MAX_NAME_BYTES + 20 for found in names)
    assert [found.rpartition(".")[2] for found in names] == ["jpg", "jpg", "png", "jpg"]


@pytest.mark.parametrize("end", [". ", " ."])
def test_folders_that_are_cut_end_as_windows_has_it(end: str):
    cut = MAX_SEGMENT_BYTES // 2
    for place in range(cut - 1, cut + 1):
        folder = name("x" * place + end + "y" * 200 + "/a.jpg").partition("/")[0]
        assert folder[-1] not in ". "
        assert folder.startswith("x" * (cut - 1))


def test_a_table_is_a_folder_where_there_are_several():
    assert name("a.jpg", table_name="CON.1") == "%43ON.1/a.jpg"
    assert name("a/b.jpg", rule=NameRule(folder="images/"), table_name="t") == "images/t/a/b.jpg"
    assert name("a/b.jpg", rule=NameRule(is_flat=True)) == "a-b.jpg"
    assert name("a/b.jpg", rule=NameRule(is_flat=True), table_name="t") == "t-a-b.jpg"


HOSTILE = st.text(st.sampled_from("aA.~/\\:\x00 %éé☃Cc0n") | st.characters(exclude_categories=["Cs"]), max_size=80)


@given(HOSTILE.filter(bool), st.sampled_from(["JPEG", None]), st.booleans())
def test_no_key_leaves_dest_or_meets_its_records(image_id: str, file_format: str | None, is_flat: bool):
    found = name(image_id, file_format, NameRule(is_flat=is_flat))
    segments = found.split("/")
    assert all(segment and segment not in (".", "..") and segment[-1] not in ". " for segment in segments)
    assert all(segment[0] != "." for segment in segments)
    assert not set(found) & set('\\:*?"<>|\0\n')
    assert segments[0].casefold() not in ("materialize.json", "metadata.jsonl", "readme.md")
    assert not (is_flat and len(segments) > 1)


@settings(deadline=None, max_examples=40)
@given(st.lists(HOSTILE.filter(bool), unique=True, max_size=30), st.booleans())
def test_names_never_meet(tmp_path_factory: pytest.TempPathFactory, keys: list[str], has_sidecars: bool):
    rule = NameRule(has_sidecars=has_sidecars)
    names = plain_and_renamed(keys, rule, tmp_path_factory.mktemp("names"))
    folded = [fold(found, rule) for found in names]
    assert len(set(folded)) == len(keys)
    files = {fold(file, RULE) for found in names for file in possible_files(found, rule)}
    folders = {"/".join(file.split("/")[:depth]) for file in files for depth in range(1, file.count("/") + 1)}
    assert not folders & files


def plain_and_renamed(keys: list[str], rule: NameRule, scratch: Path) -> list[str]:
    plain = [safe_name(key, "JPEG", rule, table_name=None) for key in keys]
    collisions = Collisions(plain, rule, scratch)
    renamed = collisions.among(0, len(keys))
    collisions.close()
    return [
        tagged(found.name, key) if place in renamed else found.name
        for place, (found, key) in enumerate(zip(plain, keys))
    ]


def test_the_first_of_names_that_meet_keeps_its_own(tmp_path: Path):
    keys = ["A.jpg", "a.jpg", "a\u0301.jpg", "á.jpg", "b", "b.jpg/c.jpg", "B.jpg/d.jpg"]
    names = plain_and_renamed(keys, RULE, tmp_path)
    kept = [found == safe_name(key, "JPEG", RULE, table_name=None).name for found, key in zip(names, keys)]
    assert kept == [True, False, True, False, False, True, True]


def test_captions_are_not_shared(tmp_path: Path):
    names = plain_and_renamed(["a.jpg", "a.png", "b.png"], NameRule(has_sidecars=True), tmp_path)
    assert names[0] == "a.jpg"
    assert names[1].startswith("a~")
    assert names[1].endswith(".png")
    assert names[2] == "b.png"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["a.jpg", "a.jpg/b.png"], [True, False]),
        (["A.JPG/b.png", "a.jpg"], [False, True]),
        (["a.jpg", "a.txt/b.png"], [True, False]),
        (["x", "x/y.png"], [False, False]),
        (["x.png", "x/y.png"], [False, False]),
        (["x.png", "x.jpg/y.png"], [False, False]),
    ],
)
def test_files_with_captions_are_not_called_as_folders_are(tmp_path: Path, keys: list[str], expected: list[bool]):
    names = plain_and_renamed(keys, NameRule(has_sidecars=True), tmp_path)
    assert ["~" in found for found in names] == expected


def test_files_whose_suffixes_are_not_known_yet_are_called_as_no_folder(tmp_path: Path):
    plain = [safe_name(key, None, NameRule(), table_name=None) for key in ("x", "x.webp/y.png", "y")]
    collisions = Collisions(plain, NameRule(has_sidecars=True), tmp_path)
    assert collisions.among(0, 3) == {0}
    collisions.close()


@pytest.mark.parametrize(
    ("file", "expected"), [("a.b/c.d.jpg", "a.b/c.d.txt"), ("a.b/c", "a.b/c.txt"), ("x.v2", "x.v2.txt")]
)
def test_a_caption_is_beside_its_image(file: str, expected: str):
    assert sidecar(file) == expected
