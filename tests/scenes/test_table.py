"""Scenes on disk: a table that the reader takes, and the same files every time."""

from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.datasets.table import TableReader
from artimuse.scenes.caption import write_caption
from artimuse.scenes.score import annotated_score
from artimuse.scenes.sentences import write_sentences
from artimuse.scenes.table import DEFAULT_SIZES, MAX_SIZE, choose_scenes, write_scenes


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_table_reads_back_as_the_scenes(tmp_path: Path):
    root = write_scenes(tmp_path / "scenes", sizes={"train": 5, "test": 3}, seed=1)
    for split, size in (("train", 5), ("test", 3)):
        annotations = list(TableReader().read(str(root), split))
        for scene, found in zip(choose_scenes(split, size, seed=1), annotations, strict=True):
            assert (found.dataset, found.split, found.kind, found.analyst) == ("scenes", split, "expert", "scenes")
            assert found.score == pytest.approx(annotated_score(scene), abs=1e-4)
            assert found.texts == write_sentences(scene)
            assert (found.question, found.answer) == ("Describe the image.", write_caption(scene))
            with Image.open(found.uri) as picture:
                assert picture.size == (224, 224)


def test_the_table_has_the_schema_and_relative_uris(tmp_path: Path):
    write_scenes(tmp_path, sizes={"validation": 2})
    table = pq.read_table(tmp_path / "validation.parquet")
    assert table.schema.equals(ANNOTATION_SCHEMA)
    assert table["uri"].to_pylist() == ["images/validation/1000000.jpg", "images/validation/1000001.jpg"]


def test_only_the_splits_asked_for_are_written_and_others_stay(tmp_path: Path):
    write_scenes(tmp_path, sizes={"test": 2})
    before = files(tmp_path)
    assert {Path(name).parts[0] for name in before} == {"test.parquet", "images"}
    write_scenes(tmp_path, sizes={"train": 2})
    after = files(tmp_path)
    assert after.items() > before.items()
    assert len(after) == 6


def test_the_same_seed_writes_the_same_files_and_another_one_others(tmp_path: Path):
    first, second, third = (
        files(write_scenes(tmp_path / name, sizes={"train": 3}, seed=seed))
        for name, seed in (("first", 0), ("second", 0), ("third", 1))
    )
    assert first == second
    assert first.keys() == third.keys()
    assert all(first[name] != third[name] for name in first)


def test_a_larger_split_begins_with_the_smaller_one():
    assert list(choose_scenes("test", 8))[:3] == list(choose_scenes("test", 3))


def test_splits_share_no_scene_whatever_their_size():
    firsts = [next(choose_scenes(split, MAX_SIZE)).number for split in DEFAULT_SIZES]
    assert all(later - earlier >= MAX_SIZE for earlier, later in pairwise(firsts))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train": 1, "tests": 1}, "split 'tests': expected one of train, validation, test"),
        ({"train": 1, "test": 0}, "0 scenes in split test: expected 1 to 1000000"),
        ({"train": 1_000_001}, "1000001 scenes in split train: expected 1 to 1000000"),
    ],
)
def test_bad_sizes_are_refused_before_anything_is_written(tmp_path: Path, sizes, message):
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path / "scenes", sizes=sizes)
    assert not (tmp_path / "scenes").exists()


def test_a_bad_seed_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(ValueError, match="scene seed -1"):
        write_scenes(tmp_path / "scenes", sizes={"train": 1}, seed=-1)
    assert not (tmp_path / "scenes").exists()
