"""Jobs as a user submits them: the README's command to a cluster that asks for a token."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.clusters import Cluster, free_port, own_cluster
from tests.pictures import good_folder, mixed_folder
from tests.training.tables import make_table

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

Submit = Callable[..., subprocess.CompletedProcess[str]]

DRIVER_EXIT_CODE = """
import sys
from ray.job_submission import JobSubmissionClient
print(JobSubmissionClient(sys.argv[1]).get_job_info(sys.argv[2]).driver_exit_code)
"""


@pytest.fixture(scope="module")
def dashboard() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def guarded_cluster(dashboard, tmp_path_factory) -> Iterator[Cluster]:
    token = tmp_path_factory.mktemp("secret") / "token"
    token.write_text(secrets.token_hex(32))
    options = ("--num-cpus=2", f"--object-store-memory={100 * 2**20}", f"--dashboard-port={dashboard.split(':')[-1]}")
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with own_cluster(*options, has_dashboard=True, **access) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def submit(guarded_cluster, dashboard) -> Submit:
    def submit(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ("ray", "job", "submit", "--address", dashboard, "--working-dir", ".")
        # RAY_ADDRESS would go before --address (Ray 2.60).
        return guarded_cluster.run(*command, "--", "python", "jobs/score.py", *arguments, RAY_ADDRESS="", **variables)

    return submit


@pytest.mark.long
def test_a_submitted_training_run_leaves_a_model(guarded_cluster, dashboard, tmp_path):
    table = make_table(tmp_path / "in", num_train=4, num_validation=3)
    command = ("ray", "job", "submit", "--address", dashboard, "--working-dir", ".", "--", "python", "jobs/train.py")
    options = ("--preset", "paper_score_finetune", "--base", "nano", "--batch-size", 2, "--epochs", 1)
    done = guarded_cluster.run(*command, table, tmp_path / "out", *options, RAY_ADDRESS="")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out" / "model" / "config.json").is_file()


def test_a_submitted_run_reports_and_fails_the_job_if_rows_failed(submit, guarded_cluster, dashboard, tmp_path):
    codes = mixed_folder(tmp_path / "in")
    done = submit(tmp_path / "in", tmp_path / "out", "--engine", "fake", "--workers", "2", "--json")
    assert done.returncode == 1
    report, _ = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("\n{\n") + 1)
    assert report == json.loads((tmp_path / "out" / "run.json").read_text())["report"]
    assert (report["num_rows"], report["num_failed"], report["exit_status"]) == (len(codes), 5, 3)
    job = re.search(r"raysubmit_\w+", done.stdout)[0]
    asked = guarded_cluster.run(sys.executable, "-c", DRIVER_EXIT_CODE, dashboard, job, RAY_ADDRESS="")
    assert asked.stdout.split() == ["3"], asked.stderr
    assert "failed with exit code 3" in done.stdout


def test_relative_paths_are_refused_because_the_working_directory_is_a_copy(submit, guarded_cluster, tmp_path):
    done = submit("photos", tmp_path / "out", "--engine", "fake")
    assert done.returncode == 1
    assert "error: INPUT photos: a submitted job needs an absolute path or a URL" in done.stdout.splitlines()
    assert "failed with exit code 1" in done.stdout
    for copy in guarded_cluster.folder.glob("head/session_2*/runtime_resources/working_dir_files/*/jobs/.."):
        assert not {".git", ".venv"} & {path.name for path in copy.iterdir()}


def test_without_the_token_score_does_not_reach_the_cluster_and_says_what_is_missing(guarded_cluster, tmp_path):
    good_folder(tmp_path / "in", 1)
    # Ray tries twenty times, a second each, unless told otherwise.
    access = {"RAY_AUTH_MODE": "disabled", "RAY_NUM_REDIS_GET_RETRIES": "1"}
    done = guarded_cluster.score(tmp_path / "in", tmp_path / "out", "--engine", "fake", **access)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "set RAY_AUTH_MODE=token" in line


@pytest.mark.parametrize("has_token", [True, False], ids=["wrong token", "no token"])
def test_nobody_submits_without_the_token(submit, tmp_path, has_token):
    (tmp_path / "token").write_text(secrets.token_hex(32))
    access = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")} if has_token else {"RAY_AUTH_MODE": "disabled"}
    done = submit(tmp_path / "in", tmp_path / "out", **access)
    assert done.returncode == 1
    assert "submitted successfully" not in done.stdout
    assert re.search("invalid or incorrect" if has_token else "no authentication token was found", done.stderr)
