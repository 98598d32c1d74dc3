"""Scenes as an annotated data set on disk, which `datasets.table.TableReader` reads."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.datasets.schema import ANNOTATION_SCHEMA
from artimuse.prompts import CAPTION_QUESTION
from artimuse.scenes.caption import write_caption
from artimuse.scenes.draw import save_picture
from artimuse.scenes.parameters import Scene, choose_scene
from artimuse.scenes.score import annotated_score
from artimuse.scenes.sentences import write_sentences

NAME = "scenes"
"""The data set, and who wrote its texts."""
DEFAULT_SIZES: Mapping[str, int] = {"train": 6000, "validation": 300, "test": 1000}
MAX_SIZE = 1_000_000

# Far apart: a larger training set leaves the others as they are, and shares no scene with them.
_FIRST_NUMBER = {split: i * MAX_SIZE for i, split in enumerate(DEFAULT_SIZES)}


def choose_scenes(split: str, size: int, *, seed: int = 0) -> Iterator[Scene]:
    """The first scenes of a split: 1 to `MAX_SIZE` of them.

    Raises ValueError at once for another size, a split that is none of `DEFAULT_SIZES`, or a bad seed.
    """
    if split not in _FIRST_NUMBER:
        raise ValueError(f"split {split!r}: expected one of {', '.join(_FIRST_NUMBER)}")
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"{size} scenes in split {split}: expected 1 to {MAX_SIZE}")
    first = _FIRST_NUMBER[split]
    choose_scene(first, seed=seed)  # a generator would refuse a bad seed only when it is read
    return (choose_scene(number, seed=seed) for number in range(first, first + size))


def write_scenes(folder: str | Path, *, sizes: Mapping[str, int] = DEFAULT_SIZES, seed: int = 0) -> Path:
    """Writes the splits of `sizes` and no other: `SPLIT.parquet` and `images/SPLIT/*.jpg`, over older ones.

    Returns the folder, which is the root for a `TableReader`. Captions answer the question of each row.
    Raises what `choose_scenes` raises, before anything is written.
    """
    folder = Path(folder)
    chosen = {split: choose_scenes(split, size, seed=seed) for split, size in sizes.items()}
    for split, scenes in chosen.items():
        images = folder / "images" / split
        images.mkdir(parents=True, exist_ok=True)
        rows = []
        for scene in scenes:
            path = images / f"{scene.number:07d}.jpg"
            save_picture(scene, path)
            rows.append(_row(scene, split, path.relative_to(folder)))
        pq.write_table(pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA), folder / f"{split}.parquet")
    return folder


def _row(scene: Scene, split: str, path: Path) -> dict[str, Any]:
    return {
        "image_id": f"scene-{scene.seed}-{scene.number:07d}",
        "uri": path.as_posix(),
        "dataset": NAME,
        "split": split,
        "kind": "expert",
        "score": annotated_score(scene),
        "question": CAPTION_QUESTION,
        "answer": write_caption(scene),
        **write_sentences(scene),
        "analyst": NAME,
    }
