"""Comparisons of small tables, whose right answers are written out."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from scipy.stats import spearmanr

from artimuse.cli import main
from artimuse.configs.compare import CompareConfig
from artimuse.curation.compare.run import run
from artimuse.errors import BadInput, BadOutput
from artimuse.io.folder import Folder
from artimuse.table.record import RUN_FILE
from tests.curation.compare.comparing import PROMPT, compare, of_other_files, printed, scores
from tests.curation.score_tables import write_table
from tests.pictures import good_folder


def change_record(output: Folder, **score_facts: str) -> None:
    record = RUN_FILE.read(output)
    facts = {**record.fingerprints, "score": {**record.fingerprints["score"], **score_facts}}
    RUN_FILE.write(output, replace(record, fingerprints=facts, config={"model": score_facts.get("model", "m")}))


def test_the_same_images_are_paired_by_their_bytes(tmp_path: Path):
    a = write_table(tmp_path / "a", scores(10, 20, 30, 40, None, 60))
    b = write_table(tmp_path / "b", scores(15, 19, 30, 52, 50, None))
    change_record(a, model="owner/one@1234", weights="abc")
    change_record(b, model="owner/two", weights="def", dtype="bfloat16")
    report = compare(tmp_path)
    assert (report.a.model, report.a.dtype) == ("owner/one@1234", "float32")
    assert (report.b.model, report.b.dtype) == ("owner/two", "bfloat16")
    assert (report.a.num_images, report.a.num_failed, report.a.mean, report.a.median) == (6, 1, 32, 30)
    pairs = report.pairs
    assert (pairs.by, pairs.noun, pairs.num_pairs) == ("sha256", "images", 4)
    # What failed could not be read, so that its bytes are not known.
    assert (pairs.num_only_a, pairs.num_only_b, pairs.num_unscored) == (1, 1, 0)
    assert report.difference.mean == 4
    assert (report.shares.better, report.shares.equal, report.shares.worse) == (0.5, 0.25, 0.25)
    assert report.rank_correlation == pytest.approx(1)
    assert [pair.a.image_id for pair in report.largest_better] == ["3.jpg", "0.jpg"]
    assert [(pair.difference, pair.a.score, pair.b.score) for pair in report.largest_worse] == [(-1, 20, 19)]
    assert report.warnings == ()


def test_images_of_both_tables_that_failed_in_one_are_counted(tmp_path: Path):
    write_table(tmp_path / "a", scores(10, 20, 30, sha256="xyz"))
    write_table(tmp_path / "b", scores(11, 22, None, sha256="xyz"))
    pairs = compare(tmp_path).pairs
    assert (pairs.num_pairs, pairs.num_only_a, pairs.num_unscored) == (2, 0, 1)
    assert "1 failed in one of them" in printed(compare(tmp_path))


def test_identical_tables_differ_by_exactly_nothing(tmp_path: Path):
    write_table(tmp_path / "a", scores(*np.random.default_rng(0).uniform(0, 100, 37)))
    report = compare(tmp_path, "a", "a")
    assert (report.difference.mean, report.difference.low, report.difference.high) == (0, 0, 0)
    assert report.difference.effect_size == 0
    assert report.shares.equal == 1
    assert report.rank_correlation == pytest.approx(1)
    assert report.verdict.startswith("within noise: 37 images do not show a difference (B - A is 0.0 points")
    assert report.largest_better == report.largest_worse == ()


def test_two_generators_are_paired_by_prompt_with_the_mean_of_each(tmp_path: Path):
    rows = scores(10, 20, 40, 70, 5, prompt=["cat", "cat", "dog", "only a", ""])
    write_table(tmp_path / "a", rows, passthrough=PROMPT)
    rows = scores(35, 42, 44, 0, prompt=["cat", "dog", "dog", "only b"])
    write_table(tmp_path / "b", of_other_files(rows), passthrough=PROMPT)
    report = compare(tmp_path)
    pairs = report.pairs
    assert (pairs.by, pairs.noun, pairs.num_pairs, pairs.num_only_a, pairs.num_only_b) == ("prompt", "prompts", 2, 1, 1)
    assert (pairs.num_images_a, pairs.num_images_b) == (3, 3)
    assert report.difference.mean == (20 + 3) / 2
    [cat, dog] = report.largest_better
    assert (cat.value, cat.a.score, cat.a.num_images, cat.b.score) == ("cat", 15, 2, 35)
    assert (dog.a.image_id, dog.b.image_id, dog.b.num_images) == ("2.jpg", "1.jpg", 2)


def test_prompts_of_a_manifest_match_those_that_generators_write_into_files(tmp_path: Path):
    write_table(tmp_path / "a", scores(10, 20, prompt=["cat", "dog"]), passthrough=PROMPT)
    rows = of_other_files(scores(12, 21, meta_prompt=["cat", "dog"]))
    write_table(tmp_path / "b", rows, with_metadata=True)
    report = compare(tmp_path)
    assert (report.pairs.by, report.pairs.num_pairs) == ("prompt of A and meta_prompt of B", 2)


def test_a_few_files_in_common_do_not_make_it_the_same_images(tmp_path: Path):
    prompts = ["cat", "dog", "cow", "pig", "hen"]
    write_table(tmp_path / "a", scores(1, 1, 50, 60, 70, sha256="xyabc", prompt=prompts), passthrough=PROMPT)
    write_table(tmp_path / "b", scores(1, 1, 55, 65, 75, sha256="xydef", prompt=prompts), passthrough=PROMPT)
    assert compare(tmp_path).pairs.by == "prompt"


def test_without_anything_in_common_the_means_are_compared(tmp_path: Path):
    write_table(tmp_path / "a", scores(10, 20, 30, 40))
    write_table(tmp_path / "b", of_other_files(scores(30, 40, 51)))
    report = compare(tmp_path)
    assert report.pairs is None
    assert report.rank_correlation is None
    assert report.difference.mean == pytest.approx(121 / 3 - 25)
    assert report.shares.better == pytest.approx((2 + 3 + 4) / 12)
    assert report.shares.equal == pytest.approx(2 / 12)
    assert "neither files nor prompts match" in printed(report)


@pytest.mark.parametrize("tables", ["same images", "nothing in common"])
def test_images_of_one_prompt_are_not_counted_as_independent(tmp_path: Path, tables: str):
    rng = np.random.default_rng(0)
    prompts = [f"prompt {number // 20}" for number in range(400)]
    of_prompt = np.repeat(rng.normal(0, 8, 20), 20)
    a = scores(*rng.normal(50, 1, 400), prompt=prompts)
    b = scores(*(rng.normal(50, 1, 400) + of_prompt), prompt=prompts)
    if tables == "nothing in common":
        b = of_other_files([{**row, "prompt": f"another {row['prompt']}"} for row in b])
    write_table(tmp_path / "a", a, passthrough=PROMPT)
    write_table(tmp_path / "b", b, passthrough=PROMPT)
    clustered = compare(tmp_path).difference
    assert clustered.num_independent == 20
    for name, rows in (("a", a), ("b", b)):
        write_table(tmp_path / f"{name} without", [{k: v for k, v in row.items() if k != "prompt"} for row in rows])
    naive = compare(tmp_path, "a without", "b without").difference
    assert naive.num_independent == 400
    assert clustered.mean == pytest.approx(naive.mean)
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)


def test_images_of_a_single_prompt_are_taken_by_themselves(tmp_path: Path):
    for name, values in (("a", (1, 2, 3)), ("b", (2, 4, 6))):
        write_table(tmp_path / name, scores(*values, prompt=["cat"] * 3), passthrough=PROMPT)
    assert compare(tmp_path).difference.num_independent == 3


def test_any_column_pairs_whatever_its_type(tmp_path: Path):
    write_table(tmp_path / "a", scores(10, 20, 30, seed=[1, 2, 3]), passthrough=pa.schema([("seed", pa.int64())]))
    write_table(tmp_path / "b", scores(5, 6, seed=["2", "3"]), passthrough=pa.schema([("seed", pa.string())]))
    report = compare(tmp_path, by="SEED")
    assert (report.pairs.by, report.pairs.noun, report.pairs.num_pairs) == ("seed", "values of seed", 2)
    assert report.difference.mean == (5 + 6 - 20 - 30) / 2


def test_columns_that_do_not_matter_may_have_types_that_nothing_holds(tmp_path: Path):
    kinds = pa.list_(pa.int64()), pa.struct([("x", pa.string())])
    for name, kind, cell in zip("ab", kinds, ([1], {"x": "y"})):
        passthrough = pa.schema([("extra", kind)])
        write_table(tmp_path / name, scores(1, "ab".index(name), extra=[cell, cell]), passthrough=passthrough)
    assert compare(tmp_path, to=str(tmp_path / "page.html")).pairs.num_pairs == 2
    with pytest.raises(BadInput, match="have 0 values in common"):
        compare(tmp_path, by="extra")


@pytest.mark.parametrize(
    ("by", "complaint"),
    [("colour", "--by colour: no such column.*prompt"), ("prompt", "--by prompt: table B has no such column")],
)
def test_a_column_that_is_not_in_both_tables_is_refused(tmp_path: Path, by: str, complaint: str):
    write_table(tmp_path / "a", scores(1, 2, prompt=["x", "y"]), passthrough=PROMPT)
    write_table(tmp_path / "b", scores(1, 2))
    with pytest.raises(BadInput, match=complaint):
        compare(tmp_path, by=by)


def test_tables_of_an_object_store_are_compared_too(memory_url: str, tmp_path: Path):
    write_table(f"{memory_url}/a", scores(1, 2, 3))
    write_table(tmp_path / "b", scores(2, 3, 4))
    report = run(CompareConfig(table_a=f"{memory_url}/a", table_b=str(tmp_path / "b")), Console(file=io.StringIO()))
    assert report.verdict == "B is better by 1.0 points (95 % between 1.0 and 1.0)"


def test_fewer_than_two_pairs_are_refused(tmp_path: Path):
    write_table(tmp_path / "a", scores(1, 2, 3, prompt=["x", "y", None]), passthrough=PROMPT)
    write_table(tmp_path / "b", of_other_files(scores(1, 2, prompt=["x", "z"])), passthrough=PROMPT)
    with pytest.raises(BadInput, match="have 1 value in common; a comparison needs two or more"):
        compare(tmp_path, by="prompt")
    write_table(tmp_path / "c", scores(1, None))
    with pytest.raises(BadInput, match="scored images: 1; a comparison needs two or more"):
        compare(tmp_path, "a", "c")
    with pytest.raises(BadOutput, match="holds no score table"):
        compare(tmp_path, "a", "nothing")


def test_scores_of_other_kinds_are_compared_with_a_warning(tmp_path: Path):
    write_table(tmp_path / "a", scores(1, 2))
    b = write_table(tmp_path / "b", of_other_files(scores(1, 2)))
    change_record(b, strategy="ordered_100", weights="def")
    warnings = compare(tmp_path).warnings
    assert any("levels_5 and ordered_100" in warning for warning in warnings)
    assert any("different models" in warning for warning in warnings)
    assert printed(compare(tmp_path)).count("warning: ") == 2


def test_ranks_are_spearmans_with_ties(tmp_path: Path):
    rng = np.random.default_rng(2)
    a = rng.integers(0, 20, 90) * 5.0
    b = np.clip(a + rng.integers(-6, 7, 90) * 5.0, 0, 100)
    write_table(tmp_path / "a", scores(*a))
    write_table(tmp_path / "b", scores(*b))
    assert compare(tmp_path).rank_correlation == pytest.approx(spearmanr(a, b).statistic)
    write_table(tmp_path / "c", scores(*[50.0] * 90))
    report = compare(tmp_path, "a", "c")
    assert report.rank_correlation is None


def test_the_same_command_says_the_same_and_json_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    photos = good_folder(tmp_path / "photos", 7)
    for name in ("one", "two"):
        assert main(["score", str(photos), str(tmp_path / name), "--engine", "fake", "--workers", "0"]) == 0
    capsys.readouterr()
    answers = []
    for _ in range(2):
        assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two"), "--seed", "3", "--json"]) == 0
        shown = capsys.readouterr()
        answers.append(shown.out)
        assert "within noise" in shown.err
    assert answers[0] == answers[1]
    told = json.loads(answers[0])
    assert told["pairs"]["num_pairs"] == 7
    assert (told["a"]["model"], told["difference"]["mean"], told["exit_status"]) == ("fake", 0, 0)
