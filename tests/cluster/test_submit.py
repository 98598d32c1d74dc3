"""`make submit-score` and what `ray job submit` sends."""

import os
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.cluster.manifests import CLUSTER, JOBS
from tests.cluster.test_agreement import config_of

ROOT = CLUSTER.parent
MOST_MB = 5


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # These tests may themselves be run by make, which tells the makes below it so.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--dry-run", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("job", JOBS)
def test_make_submits_a_job_with_the_options_that_are_given(job: str):
    options = "--workers 1:8" + (" --preset paper_text_pretrain" if job == "train" else "")
    done = make(
        f"submit-{job}", "ADDRESS=http://head:8265", "INPUT=s3://a/in", "OUTPUT=s3://a/out", f"OPTIONS={options}"
    )
    assert done.returncode == 0, done.stderr
    submit, _, command = done.stdout.splitlines()[-1].partition(" -- ")
    assert shlex.split(submit)[2:] == ["job", "submit", "--address", "http://head:8265", "--working-dir", "."]
    program, script, *arguments = shlex.split(command)
    assert (program, script) == ("python", f"jobs/{job}.py")
    config = config_of(f"{job}.py", arguments)
    assert (config.output, config.worker_range) == ("s3://a/out", (1, 8))


@pytest.mark.parametrize("missing", ["ADDRESS", "INPUT", "OUTPUT"])
def test_make_says_which_variable_is_missing(missing: str):
    given = {name: "x" for name in ("ADDRESS", "INPUT", "OUTPUT") if name != missing}
    done = make("submit-score", *(f"{name}={value}" for name, value in given.items()))
    assert done.returncode != 0
    assert f"{missing} is missing" in done.stderr


def test_a_submission_is_the_code_and_the_jobs(tmp_path: Path):
    """Zipped as Ray 2.60 does, from a clone that has been worked in."""
    from ray._private.runtime_env.packaging import _zip_files

    clone, archive = tmp_path / "clone", tmp_path / "sent.zip"
    clone.mkdir()
    for name in ("artimuse", "jobs", "docs", "tests", "cluster"):
        shutil.copytree(ROOT / name, clone / name)
    for name in (".gitignore", ".rayignore", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    (clone / "photos").mkdir()
    (clone / "photos" / "a.jpg").write_bytes(b"x" * 1000)
    _zip_files(clone, [], str(archive), include_parent_dir=False, include_gitignore=True)
    with zipfile.ZipFile(archive) as sent:
        names = [name for name in sent.namelist() if not name.endswith("/")]
    assert {name.split("/")[0] for name in names} == {"artimuse", "jobs"}
    assert not any("__pycache__" in name for name in names)
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "artimuse").rglob("*") if path.is_file()}
    assert {name for name in code if "__pycache__" not in name} <= set(names)
    [documented] = re.findall(r"\(([\d.]+) MB", (ROOT / "docs" / "cluster.md").read_text())
    assert archive.stat().st_size / 1e6 == pytest.approx(float(documented), rel=0.3)
    assert archive.stat().st_size < MOST_MB * 1e6
