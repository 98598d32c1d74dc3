import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from artimuse.bench import ceilings
from artimuse.bench.measure import Workload, measure
from artimuse.bench.report import BenchReport
from artimuse.configs.engine import EngineConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report() -> BenchReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ceilings.MATRIX_SIZE, "cpu", 64)
        patch.setitem(ceilings.COPY_BYTES, "cpu", 2**16)
        config = EngineConfig(model="nano", device="cpu", dtype="float32", batch_size=2)
        return measure(config, Workload(num_images=3, new_tokens=4, num_rounds=2))


def test_both_do_all_the_work_in_every_round(report):
    score, texts = report.comparisons
    assert (score.work, texts.work) == ("score", "score + 8 texts")
    for compared in report.comparisons:
        for result in (compared.engine, compared.official):
            assert len(result.images_per_s.rounds) == 2
            assert result.peak_bytes > 0
    assert (score.engine.num_images, score.official.num_images) == (3, 3)
    assert (texts.engine.num_images, texts.official.num_images) == (3, 1)


def test_figures_follow_from_each_other(report):
    for compared in report.comparisons:
        engine, official = compared.engine, compared.official
        assert compared.ratio.rounds[0] == engine.images_per_s.rounds[0] / official.images_per_s.rounds[0]
        share = engine.flop_per_image * engine.images_per_s.median / report.ceilings.matmul_flop_per_s
        assert engine.share_of_matmul == pytest.approx(share)
        assert official.flop_per_image > engine.flop_per_image
    score, texts = report.comparisons
    assert score.engine.tokens_per_s is None
    assert texts.engine.tokens_per_s == pytest.approx(8 * 4 * texts.engine.images_per_s.median)


def test_the_report_says_what_was_measured(report):
    stored = json.loads(json.dumps(report.as_dict()))
    assert (stored["model"], stored["engine"], stored["dtype"], stored["batch_size"]) == (
        "nano",
        "transformers",
        "float32",
        2,
    )
    assert stored["lengths"]["answer"] == 4
    assert stored["machine"]["torch"]
    shown = io.StringIO()
    report.print(Console(file=shown, width=120))
    for words in ("nano in float32", "of a single text", "score + 8 texts", "official loop", "ratio"):
        assert words in shown.getvalue()


def test_the_reference_engine_can_be_measured_too(monkeypatch):
    monkeypatch.setitem(ceilings.MATRIX_SIZE, "cpu", 64)
    config = EngineConfig(name="exact", model="nano", device="cpu", dtype="bfloat16")
    report = measure(config, Workload(num_images=1, new_tokens=2, num_rounds=1))
    assert (report.engine, report.batch_size) == ("exact", None)


def test_it_runs_where_only_torch_and_transformers_are_installed():
    """As on GPU machines that are there for a measurement only."""
    code = (
        "import runpy, sys\n"
        "for name in ('ray', 'pyarrow', 'duckdb', 'tyro', 'rich', 's3fs', 'fsspec', 'vllm'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = 'gpu.py --model nano --device cpu --images 1 --new-tokens 2 --rounds 1'.split()\n"
        "runpy.run_path('benchmarks/gpu.py', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "nano"
