"""Rows with pixels to score-table rows, also by engines that fail."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pyarrow as pa
import pytest

from artimuse.configs.engine import EngineConfig
from artimuse.engines.fake import FakeEngine, FakeImages
from artimuse.errors import EngineFailed
from artimuse.interfaces import FloatArray, PixelArray
from artimuse.pipelines.rows import RowScorer
from artimuse.pipelines.rows.job import PIXELS
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from artimuse.table.schema import SCORE_COLUMNS
from tests.pictures import encoded, good_folder, mixed_folder, picture
from tests.pipelines.rows.stages import decoded, scored

MODEL_COLUMNS = ("score", "score_std", "score_entropy", "score_probs")
FACT_COLUMNS = ("width", "height", "format", "bytes", "sha256", "phash")


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


class UnsureEngine(FakeEngine):
    """Answers with NaN and then fails, unless it is asked about one image."""

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator[FakeImages]:
        images = FakeImages(pixels_BHWC)
        if len(pixels_BHWC) > 1:
            images.brightness_B = np.full_like(images.brightness_B, np.nan)
        yield images
        if len(pixels_BHWC) > 1:
            raise RuntimeError("not so many")


def dark(brightness_B: FloatArray) -> FloatArray:
    return brightness_B < 0.2


def everything(brightness_B: FloatArray) -> FloatArray:
    return brightness_B >= 0


class KeepingEngine(FakeEngine):
    """Keeps the pixels it was last given."""

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator[FakeImages]:
        self.pixels_BHWC = pixels_BHWC
        yield FakeImages(pixels_BHWC)


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
                raise EngineFailed("start me again")
            return super().open(pixels_BHWC)

    job = make_job(good_folder(tmp_path / "in", 5))
    with pytest.raises(EngineFailed, match="start me again"):
        scored(job, engine=FallenEngine(job.engine))


@pytest.mark.parametrize("raises", [True, False])
def test_a_batch_of_nothing_but_images_the_network_fails_on_is_failed_rows(make_job, tmp_path, raises):
    (tmp_path / "in").mkdir()
    for number in range(2):
        (tmp_path / "in" / f"{number}.png").write_bytes(encoded(picture(20 + number)))
    (tmp_path / "in" / "broken.png").write_bytes(b"not a picture")
    rows = scored(make_job(tmp_path / "in"), engine=PickyEngine(dark, raises=raises)).to_pylist()
    assert [row["error_code"] for row in rows] == ["model_error", "model_error", "unsupported_format"]


def test_a_good_answer_of_a_second_attempt_leaves_no_error_of_the_first(make_job, tmp_path, monkeypatch):
    good_folder(tmp_path / "in", 4)
    job = make_job(tmp_path / "in")
    expected = scored(job)
    found = scored(job, engine=UnsureEngine(EngineConfig(name="fake")))
    for name in ("status", "error_code", "error", *MODEL_COLUMNS):
        assert found[name].to_pylist() == expected[name].to_pylist()


def test_a_batch_without_a_readable_image_does_not_reach_the_network(make_job, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"not a picture")
    engine = PickyEngine(everything, raises=True)
    rows = scored(make_job(tmp_path / "in"), engine=engine).to_pylist()
    assert [row["status"] for row in rows] == ["failed"] * 3
    assert engine.num_calls == 0


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
