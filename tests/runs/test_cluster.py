"""Starting Ray when it does not want to, without starting it."""

from collections.abc import Callable

import pytest
import ray

from artimuse.errors import ClusterProblem
from artimuse.runs import cluster
from artimuse.runs.cluster import MAX_DIRECTORY_CHARS, connect

TIMED_OUT = Exception("The current node timed out during startup.\nThis could happen because ...")


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict]]:
    """Has `ray.init` fail with these errors, one after the other, and then succeed; returns its calls."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)

    def start(*errors: BaseException) -> list[dict]:
        calls, left = [], list(errors)

        def init(**options: object) -> None:
            calls.append(options)
            if left:
                raise left.pop(0)

        monkeypatch.setattr(ray, "init", init)
        return calls

    return start


def test_ray_that_does_not_start_in_time_is_started_once_more(started, caplog):
    calls = started(TIMED_OUT)
    connect(debug=False)
    assert len(calls) == 2
    assert "Ray does not start: The current node timed out during startup." in caplog.text


def test_ray_that_does_not_start_at_all_is_one_line_with_a_way_out(started):
    calls = started(TIMED_OUT, TIMED_OUT)
    with pytest.raises(ClusterProblem) as caught:
        connect(debug=False)
    assert len(calls) == 2
    assert "\n" not in str(caught.value)
    assert "--workers 0 does without" in str(caught.value)


def test_a_cluster_that_does_not_answer_is_asked_once(started):
    calls = started(ConnectionError("no answer"))
    with pytest.raises(ClusterProblem, match="cannot connect to Ray: no answer"):
        connect(debug=False)
    assert len(calls) == 1


def test_what_a_running_cluster_says_is_not_taken_for_a_start_that_failed(started, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    calls = started(RuntimeError("Version mismatch"))
    with pytest.raises(ClusterProblem, match=r"^cannot connect to Ray: Version mismatch$"):
        connect(debug=False)
    assert len(calls) == 1


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_directory_that_is_too_long_for_sockets_is_refused_at_once(started, monkeypatch, variable):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, "/" + "x" * MAX_DIRECTORY_CHARS)
    calls = started()
    with pytest.raises(ClusterProblem, match=r"set RAY_TMPDIR to a directory of at most \d+, such as /tmp"):
        connect(debug=False)
    assert calls == []
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(cluster, "_refuse_dead_address", lambda address: None)
    connect(debug=False)
    assert len(calls) == 1, "a cluster that runs already has its sockets"
