"""Plan rows to rows with pixels, and what a worker must see before it decodes."""

import hashlib
from dataclasses import replace

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import ClusterProblem
from artimuse.images.decode import decode
from artimuse.pipelines.rows import RowDecoder, refuse_blind_node
from artimuse.pipelines.rows.job import PIXELS
from tests.pictures import good_folder
from tests.pipelines.rows.stages import decoded, scored


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


def test_several_threads_give_the_same_rows_in_the_same_order(make_job, tmp_path):
    good_folder(tmp_path / "in", 50)
    (tmp_path / "in" / "0007.png").write_bytes(b"not a picture")
    job = make_job(tmp_path / "in")
    columns = ["row_number", "error_code", "sha256", "phash", PIXELS]
    alone = pa.concat_tables(decoded(job)).select(columns)
    with RowDecoder(job, num_threads=4) as decode_rows:
        together = pa.concat_tables(decode_rows(0, np.arange(50, dtype=np.int32), 1, 8)).select(columns)
    assert together.equals(alone)


def test_a_file_that_disappears_after_planning_is_a_failed_row(make_job, tmp_path):
    job = make_job(good_folder(tmp_path / "in", 3))
    (tmp_path / "in" / "0001.png").unlink()
    rows = scored(job).to_pylist()
    assert [row["error_code"] for row in rows] == [None, "not_found", None]


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
