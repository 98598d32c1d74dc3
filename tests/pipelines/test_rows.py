"""The stages of a scoring run as plain objects: decode, score, write. Ray is not needed, and not loaded."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artimuse.configs.engine import EngineConfig
from artimuse.configs.limits import DecodeLimits
from artimuse.engines.fake import FakeEngine, FakeImages
from artimuse.errors import ClusterProblem, EngineFailed
from artimuse.images.decode import decode
from artimuse.interfaces import FloatArray, PixelArray
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.pipelines.rows import Receipt, RowDecoder, RowScorer, RowWriter, ScoreJob, refuse_blind_node
from artimuse.pipelines.rows.job import PIXELS
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from artimuse.sources import open_source
from artimuse.table.parts import PARTS
from artimuse.table.plan import num_shard_rows, num_shards, plan_passthrough_schema, write_plan
from artimuse.table.schema import SCORE_COLUMNS
from tests.pictures import encoded, good_folder, mixed_folder, picture

MODEL_COLUMNS = ("score", "score_std", "score_entropy", "score_probs")
FACT_COLUMNS = ("width", "height", "format", "bytes", "sha256", "phash")
CHUNK = 32

Row = dict[str, Any]


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., ScoreJob]:
    """A job of the fake engine over a folder or manifest, with its plan written."""

    def make(place: Path, *, rows_per_shard: int = 100, witnesses: tuple[str, ...] = ()) -> ScoreJob:
        output = Folder.at(str(tmp_path / "out"))
        write_plan(open_source(str(place)), output, rows_per_shard=rows_per_shard, rows_per_group=8)
        return ScoreJob(
            output=output,
            rows_per_shard=rows_per_shard,
            engine=EngineConfig(name="fake"),
            strategy="ordered_100",
            limits=DecodeLimits(),
            passthrough=plan_passthrough_schema(output),
            witnesses=tuple(map(Location, witnesses)),
        )

    return make


def decoded(job: ScoreJob, shard: int = 0, *, chunk: int = CHUNK) -> list[pa.Table]:
    return list(RowDecoder(job)(shard, np.arange(num_shard_rows(job.output, shard), dtype=np.int32), 1, chunk))


def scored(job: ScoreJob, *, engine: FakeEngine | None = None) -> pa.Table:
    """All rows of the plan, by the job's engine or another one."""
    score = RowScorer(job, "worker-1")
    if engine:
        score.scorer = Scorer(engine, STRATEGIES[job.strategy])
    return pa.concat_tables(
        score(chunk) for shard in range(num_shards(job.output)) for chunk in decoded(job, shard, chunk=CHUNK)
    )


def table(job: ScoreJob) -> list[Row]:
    """What is in the parts, by image_id."""
    parts = [pq.read_table(pa.BufferReader(job.output.read(f"{PARTS}/{name}"))) for name in job.output.names(PARTS)]
    return pa.concat_tables(parts).sort_by("image_id").to_pylist()


class PickyEngine(FakeEngine):
    """Meets pictures it does not like: raises, or answers with NaN."""

    def __init__(self, dislikes: Callable[[FloatArray], FloatArray], *, raises: bool) -> None:
        super().__init__(EngineConfig(name="fake"))
        self.dislikes = dislikes
        """Of the brightness of each image, 0..1."""
        self.raises = raises
        self.num_calls = 0

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator[FakeImages]:
        self.num_calls += 1
        images = FakeImages(pixels_BHWC)
        disliked_B = self.dislikes(images.brightness_B)
        if self.raises and disliked_B.any():
            raise RuntimeError("this picture is more than I can bear")
        images.brightness_B = np.where(disliked_B, np.nan, images.brightness_B)
        yield images


def dark(brightness_B: FloatArray) -> FloatArray:
    return brightness_B < 0.2


def everything(brightness_B: FloatArray) -> FloatArray:
    return brightness_B >= 0


def test_stages_run_without_ray():
    code = (
        "import sys\n"
        "from artimuse.pipelines import in_process, report, rows, score\n"
        "loaded = [name for name in ('ray', 'torch', 'transformers') if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_decoded_rows_hold_the_pixels_of_the_official_preprocessing_and_the_facts(make_job, tmp_path):
    good_folder(tmp_path / "in", 3)
    [rows] = decoded(make_job(tmp_path / "in"))
    for row in rows.to_pylist():
        data = (tmp_path / "in" / row["image_id"]).read_bytes()
        pixels = decode(data, DecodeLimits()).pixels_HWC
        assert row[PIXELS] == pixels.tobytes()
        assert (row["bytes"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert (row["width"], row["height"], row["format"]) == (64, 48, "PNG")
        assert f"{row['phash']:016x}" == str(imagehash.phash(Image.fromarray(pixels)))
        assert (row["error_code"], row["error"]) == (None, None)


def test_chunks_are_no_larger_than_asked_and_in_order(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 10))
    offsets = np.array([1, 2, 3, 5, 8, 9, 0], dtype=np.int32)
    chunks = list(RowDecoder(job)(0, offsets, 1, 3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert pa.concat_tables(chunks)["row_number"].to_pylist() == offsets.tolist()


def test_a_file_that_disappears_after_planning_is_a_failed_row(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 3))
    (tmp_path / "in" / "0001.png").unlink()
    rows = scored(job).to_pylist()
    assert [row["error_code"] for row in rows] == [None, "not_found", None]


def test_failed_rows_keep_null_scores_and_good_rows_have_all_of_them(make_job, tmp_path):
    expected = mixed_folder(tmp_path / "in")
    rows = scored(make_job(tmp_path / "in")).to_pylist()
    assert {row["image_id"]: row["error_code"] for row in rows} == expected
    for row in rows:
        is_good = expected[row["image_id"]] is None
        assert row["status"] == ("ok" if is_good else "failed")
        assert all((row[name] is not None) == is_good for name in MODEL_COLUMNS)
        assert (row["error"] is None) == is_good
        assert row["attempt"] == 1
    # What could be learnt of a bad file is kept.
    by_id = {row["image_id"]: row for row in rows}
    assert by_id["empty.jpg"]["bytes"] == 0
    assert by_id["text.jpg"]["sha256"] == hashlib.sha256((tmp_path / "in" / "text.jpg").read_bytes()).hexdigest()
    assert all(by_id["dangling.png"][name] is None for name in FACT_COLUMNS)


def test_scores_in_the_table_are_those_of_the_scorer(make_job, tmp_path):
    good_folder(tmp_path / "in", 5)
    job = make_job(tmp_path / "in")
    scorer = Scorer(FakeEngine(job.engine), STRATEGIES["ordered_100"])
    expected = scorer.score(sorted((tmp_path / "in").iterdir()))
    for row, score in zip(scored(job).to_pylist(), expected):
        assert (row["score"], row["score_std"], row["score_entropy"]) == (score.score, score.std, score.entropy)
        np.testing.assert_allclose(row["score_probs"], score.probs_K, atol=1e-3)


@pytest.mark.parametrize("raises", [True, False])
def test_one_image_on_which_the_network_fails_is_one_failed_row(make_job, tmp_path, raises):
    good_folder(tmp_path / "in", 5)
    (tmp_path / "in" / "dark.png").write_bytes(encoded(picture(20)))
    (tmp_path / "in" / "broken.png").write_bytes(b"not a picture")
    job = make_job(tmp_path / "in")
    without_fault = {row["image_id"]: row for row in scored(job).to_pylist()}
    rows = {row["image_id"]: row for row in scored(job, engine=PickyEngine(dark, raises=raises)).to_pylist()}
    failed = rows.pop("0000.png"), rows.pop("dark.png")
    for row in failed:
        assert (row["status"], row["error_code"]) == ("failed", "model_error")
        assert row["error"] == (
            "RuntimeError: this picture is more than I can bear"
            if raises
            else "the network's answer is not a finite number"
        )
        assert all(row[name] is None for name in MODEL_COLUMNS)
        assert all(row[name] is not None for name in FACT_COLUMNS)
    assert rows["broken.png"]["error_code"] == "unsupported_format"
    for name, row in rows.items():
        assert row["status"] == without_fault[name]["status"]
        assert row["score"] == pytest.approx(without_fault[name]["score"], abs=1e-3)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("raises", "complaint"), [(True, "more than I can bear"), (False, "not a finite number for any image")]
)
def test_an_engine_that_fails_on_every_picture_is_to_blame_itself(make_job, tmp_path, count, raises, complaint):
    job = make_job(good_folder(tmp_path / "in", count))
    with pytest.raises(EngineFailed, match=complaint):
        scored(job, engine=PickyEngine(everything, raises=raises))


def test_no_row_carries_the_blame_of_an_engine_that_says_that_it_has_failed(make_job, tmp_path):
    class FallenEngine(FakeEngine):
        def open(self, pixels_BHWC: PixelArray) -> AbstractContextManager[FakeImages]:
            if dark(FakeImages(pixels_BHWC).brightness_B).any():
                raise EngineFailed("start me anew")
            return super().open(pixels_BHWC)

    job = make_job(good_folder(tmp_path / "in", 5))
    with pytest.raises(EngineFailed, match="start me anew"):
        scored(job, engine=FallenEngine(job.engine))


@pytest.mark.parametrize("raises", [True, False])
def test_a_batch_of_nothing_but_images_the_network_fails_on_is_failed_rows(make_job, tmp_path, raises):
    (tmp_path / "in").mkdir()
    for number in range(2):
        (tmp_path / "in" / f"{number}.png").write_bytes(encoded(picture(20 + number)))
    (tmp_path / "in" / "broken.png").write_bytes(b"not a picture")
    rows = scored(make_job(tmp_path / "in"), engine=PickyEngine(dark, raises=raises)).to_pylist()
    assert [row["error_code"] for row in rows] == ["model_error", "model_error", "unsupported_format"]


def test_a_batch_without_a_readable_image_does_not_reach_the_network(make_job, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"not a picture")
    engine = PickyEngine(everything, raises=True)
    rows = scored(make_job(tmp_path / "in"), engine=engine).to_pylist()
    assert [row["status"] for row in rows] == ["failed"] * 3
    assert engine.num_calls == 0


class KeepingEngine(FakeEngine):
    """Keeps the pixels it was last given."""

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator[FakeImages]:
        self.pixels_BHWC = pixels_BHWC
        yield FakeImages(pixels_BHWC)


@pytest.mark.parametrize("part", [slice(0, 6), slice(2, 5)])
def test_pixels_are_not_copied_when_every_row_is_readable(make_job, tmp_path, part):
    job = make_job(good_folder(tmp_path / "in", 6))
    [rows] = decoded(job)
    engine = KeepingEngine(job.engine)
    score = RowScorer(job, "worker-1")
    score.scorer = Scorer(engine, STRATEGIES[job.strategy])
    score(rows[part])
    memory = np.frombuffer(rows[PIXELS].chunk(0).buffers()[1], dtype=np.uint8)
    assert np.shares_memory(engine.pixels_BHWC, memory)
    assert engine.pixels_BHWC.tobytes() == b"".join(rows[PIXELS][part].to_pylist())


def test_batches_put_together_from_several_blocks_score_the_same(make_job, tmp_path):
    mixed_folder(tmp_path / "in")
    good_folder(tmp_path / "in", 6)
    job = make_job(tmp_path / "in")
    score = RowScorer(job, "worker-1")
    whole = score(pa.concat_tables(decoded(job)))
    pieces = score(pa.concat_tables(decoded(job, chunk=3)))
    assert pieces.select(SCORE_COLUMNS) == whole.select(SCORE_COLUMNS)


NESTED = {
    "uri": ["0000.png", "0001.png", "0002.png"],
    "boxes": [[{"x": 1, "label": "cat"}], [], None],
    "camera": [{"maker": "Leica", "lens": {"mm": 50}}, None, {"maker": None, "lens": None}],
    "tags": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32())),
    "taken": pa.array([0, None, 1], pa.timestamp("ms", tz="UTC")),
    "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
    "embedding": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "blob": [b"\x00", None, b""],
    "price": pa.array([1, None, 2]).cast(pa.decimal128(30, 2)),
}


def test_passthrough_columns_of_nested_types_survive(make_job, tmp_path):
    good_folder(tmp_path / "in", 3)
    pq.write_table(pa.table(NESTED), tmp_path / "in" / "list.parquet")
    job = make_job(tmp_path / "in" / "list.parquet")
    RowWriter(job)(scored(job).take([2, 0, 1]))
    given = pq.read_table(tmp_path / "in" / "list.parquet").to_pylist()
    assert [{name: row[name] for name in NESTED if name != "uri"} for row in table(job)] == [
        {name: row[name] for name in NESTED if name != "uri"} for row in given
    ]


def test_passthrough_columns_may_have_any_name(make_job, tmp_path):
    good_folder(tmp_path / "in", 2)
    names = ["pixels", "worker", "began_at", "fetch_s", "decode_s", "score_s", "shard", "offsets", "part", "Score"]
    rows = [{"uri": f"000{number}.png", **dict.fromkeys(names, f"mine {number}")} for number in range(2)]
    (tmp_path / "in" / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    job = make_job(tmp_path / "in" / "list.jsonl")
    [receipt] = RowWriter(job)(scored(job))
    assert receipt.workers == {"worker-1": 2}
    for number, row in enumerate(table(job)):
        assert {row[name] for name in [*names[:-1], "input_Score"]} == {f"mine {number}"}


def test_columns_that_are_not_in_the_schema_are_not_written(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 2))
    rows = scored(job)
    RowWriter(job)(rows.append_column("scratch", pa.array([1, 2])))
    assert tuple(table(job)[0]) == SCORE_COLUMNS


def test_receipts_add_up(make_job, tmp_path):
    expected = mixed_folder(tmp_path / "in")
    good_folder(tmp_path / "in", 20)
    before = time.time()
    job = make_job(tmp_path / "in")
    rows = scored(job)
    [receipt] = RowWriter(job)(rows)
    assert receipt.num_rows == len(rows) == len(expected) + 20
    assert receipt.num_failed == sum(code is not None for code in expected.values())
    assert receipt.workers == {"worker-1": len(rows)}
    assert before <= receipt.began_at <= time.time()
    spent = [getattr(receipt, f"{stage}_s") for stage in ("fetch", "decode", "score", "write")]
    assert min(spent) > 0
    assert sum(spent) < time.time() - before
    assert job.output.names(PARTS) == [receipt.part]


def test_a_receipt_survives_the_table_that_is_sent_through_ray(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 3))
    receipts = RowWriter(job)(scored(job))
    table = pa.Table.from_pylist([receipt.as_row() for receipt in receipts])
    assert [Receipt.of(row) for row in table.to_pylist()] == receipts


def test_workers_are_counted_by_the_rows_they_scored(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 5))
    first, second = decoded(job, chunk=3)
    rows = pa.concat_tables([RowScorer(job, "a")(first), RowScorer(job, "b")(second)])
    [receipt] = RowWriter(job)(rows)
    assert receipt.workers == {"a": 3, "b": 2}


def test_rows_of_two_shards_become_two_parts(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 12), rows_per_shard=8)
    receipts = RowWriter(job)(scored(job))
    assert [receipt.num_rows for receipt in receipts] == [8, 4]
    assert job.output.names(PARTS) == [receipt.part for receipt in receipts]
    assert [name.split("-")[0] for name in job.output.names(PARTS)] == ["000000", "000001"]
    assert [row["row_number"] for row in table(job)] == list(range(12))


def test_the_order_in_which_rows_arrive_does_not_matter(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 6))
    rows = scored(job)
    first = RowWriter(job)(rows)
    second = RowWriter(job)(rows.take([5, 3, 1, 0, 2, 4]))
    assert first[0].part == second[0].part
    assert [row["row_number"] for row in table(job)] == list(range(6))


def test_a_node_that_can_read_no_witness_is_refused(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 2), witnesses=("/elsewhere/a.png", "/elsewhere/b.png"))
    for check in (refuse_blind_node, RowDecoder):
        with pytest.raises(ClusterProblem, match=r"INPUT is not visible here: cannot read /elsewhere/a\.png"):
            check(job)


def test_one_readable_witness_is_enough(make_job, tmp_path):
    good_folder(tmp_path / "in", 2)
    job = make_job(tmp_path / "in", witnesses=("/elsewhere/a.png", str(tmp_path / "in" / "0000.png")))
    refuse_blind_node(job)
    assert len(decoded(job)) == 1


def test_a_collection_without_a_readable_image_has_no_witness_and_is_not_refused(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 2))
    refuse_blind_node(replace(job, witnesses=()))
