"""What is tried again, how often, and after how long."""

import errno
import time
from itertools import pairwise

import pytest

from artimuse.io import retries
from artimuse.io.retries import CutShort, FinalAnswer, GaveUp, is_answer, wait_s, with_retries


class Store:
    """Raises its errors, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.num_asked = 0

    def read(self) -> str:
        self.num_asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "all of it"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_what_may_pass_is_tried_again(waits: list[float]):
    store = Store(
        OSError(errno.EBUSY, "SlowDown"), ConnectionResetError(), TimeoutError(), CutShort("5 of 9"), KeyError()
    )
    assert with_retries(store.read) == "all of it"
    assert store.num_asked == 6
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(),
        PermissionError(),
        IsADirectoryError(),
        ValueError(),
        FinalAnswer(),
        OSError(errno.EINVAL, "x"),
    ],
)
def test_an_answer_is_taken_at_once_and_as_it_is(error: Exception, waits: list[float]):
    store = Store(error)
    with pytest.raises(type(error)) as caught:
        with_retries(store.read)
    assert caught.value is error
    assert waits == []


def test_the_last_error_is_told_when_all_attempts_failed(waits: list[float]):
    store = Store(*(OSError(errno.EBUSY, "Please reduce\nyour request rate") for _ in range(99)))
    with pytest.raises(GaveUp) as caught:
        with_retries(store.read)
    assert str(caught.value) == (
        "10 attempts failed, the last with OSError: [Errno 16] Please reduce your request rate"
    )
    assert store.num_asked == retries.NUM_ATTEMPTS
    assert 25 < sum(waits) < 52


def test_waits_double_to_a_limit_and_differ():
    longest = [max(wait_s(attempt) for _ in range(200)) for attempt in range(1, 12)]
    assert longest[0] <= 0.1
    assert all(later < 2.3 * sooner for sooner, later in pairwise(longest))
    assert longest[-1] <= retries.LONGEST_WAIT_S
    assert len({wait_s(5) for _ in range(10)}) == 10


def test_missing_credentials_are_an_answer():
    from botocore.exceptions import EndpointConnectionError, NoCredentialsError

    assert is_answer(NoCredentialsError())
    assert not is_answer(EndpointConnectionError(endpoint_url="http://127.0.0.1:9"))
