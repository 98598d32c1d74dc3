"""What every reader must do: a reader is tested by being listed in READERS and bringing a sample of its own files."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from artimuse.attributes import ATTRIBUTES
from artimuse.datasets import READERS, open_reader
from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.errors import BadInput
from artimuse.interfaces import Annotation, AnnotationKind
from tests.datasets.annotations import annotation, parquet


def table_sample(folder: Path) -> str:
    rows = [
        annotation("a", score=0),
        annotation("b", score=100.0, evidence="sharp"),
        annotation("c", kind="partial_text", score=None, overall_gestalt="It holds together.", analyst="human"),
        annotation("d", split="test"),
    ]
    return parquet(folder / "table.parquet", rows)


# Reader -> what makes a small data set with a split `train` of several rows in this folder, and returns its root.
SAMPLES: dict[str, Callable[[Path], str]] = {"table": table_sample}


@pytest.fixture(params=READERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def annotations(name: str, tmp_path: Path) -> list[Annotation]:
    return list(open_reader(name).read(SAMPLES[name](tmp_path), "train"))


def test_every_reader_brings_a_sample():
    assert SAMPLES.keys() == READERS.keys()


def test_the_score_range_has_a_lowest_and_a_highest_score(name: str):
    lowest, highest = open_reader(name).score_range
    assert lowest < highest


def test_annotations_say_which_image_and_where_it_is(annotations: list[Annotation]):
    assert len(annotations) > 1
    for found in annotations:
        assert found.image_id
        assert found.dataset
        assert Path(found.uri).is_absolute() or "://" in found.uri


def test_only_the_split_that_is_asked_for_comes(annotations: list[Annotation]):
    assert {found.split for found in annotations} == {"train"}


def test_scores_are_on_the_common_scale(annotations: list[Annotation]):
    for found in annotations:
        assert found.kind in get_args(AnnotationKind)
        assert found.score is not None or found.kind != "score"
        assert found.score is None or 0 <= found.score <= 100


def test_texts_are_under_the_names_of_attributes(annotations: list[Annotation]):
    for found in annotations:
        assert found.texts.keys() <= {attribute.slug for attribute in ATTRIBUTES}
        assert all(found.texts.values())


def test_annotations_fit_the_annotation_table(annotations: list[Annotation]):
    for found in annotations:
        for field in ANNOTATION_SCHEMA:
            assert field.nullable or getattr(found, field.name) is not None


def test_reading_twice_gives_the_same_annotations_in_the_same_order(name: str, tmp_path: Path):
    root, reader = SAMPLES[name](tmp_path), open_reader(name)
    assert list(reader.read(root, "train")) == list(reader.read(root, "train"))


def test_reading_is_a_stream(name: str, tmp_path: Path):
    stream = open_reader(name).read(SAMPLES[name](tmp_path), "train")
    assert next(stream).split == "train"
    assert next(iter(stream)).split == "train"


def test_a_split_without_rows_is_refused(name: str, tmp_path: Path):
    root = SAMPLES[name](tmp_path)
    with pytest.raises(BadInput, match="no row of split 'tarin'") as caught:
        list(open_reader(name).read(root, "tarin"))
    assert root in str(caught.value)


def test_a_root_that_is_not_there_is_refused_by_name(name: str, tmp_path: Path):
    with pytest.raises(BadInput, match="missing"):
        list(open_reader(name).read(str(tmp_path / "missing"), "train"))


def test_an_unknown_reader_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=f"'tabel': expected one of {', '.join(READERS)}"):
        open_reader("tabel")
