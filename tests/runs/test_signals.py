"""Stop requests: what the first and the second signal do, and how long there is."""

import logging
import signal
import threading

import pytest

from artimuse.runs.signals import StopRequest

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(params=SIGNALS, ids=lambda number: number.name)
def number(request: pytest.FixtureRequest) -> signal.Signals:
    return request.param


def send(number: signal.Signals) -> None:
    """To this process, which has handled it when this returns."""
    signal.raise_signal(number)


def test_without_a_signal_there_is_no_stop_and_no_hurry():
    stop = StopRequest(30, doing="finishing")
    assert not stop.is_set
    assert stop.left_s == float("inf")


def test_a_signal_before_rows_are_in_flight_ends_the_run_at_once(number):
    stop = StopRequest(30, doing="finishing")
    with stop.heeded(), pytest.raises(KeyboardInterrupt, match=f"{number.name}; the same command goes on"):
        send(number)
    assert not stop.is_set


def test_while_rows_are_in_flight_the_first_signal_asks_and_the_second_ends(number, caplog):
    stop = StopRequest(30, doing="finishing")
    with stop.heeded(), stop.draining(), caplog.at_level(logging.WARNING):
        send(number)
        assert stop.is_set
        assert 25 < stop.left_s <= 30
        assert f"{number.name}: finishing, for at most 30 s" in caplog.text
        with pytest.raises(KeyboardInterrupt):
            send(number)


def test_one_kind_of_signal_may_follow_another():
    stop = StopRequest(30, doing="finishing")
    with stop.heeded(), stop.draining():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)


def test_after_the_drain_a_signal_ends_the_run_again(number):
    stop = StopRequest(30, doing="finishing")
    with stop.heeded():
        with stop.draining():
            send(number)
        with pytest.raises(KeyboardInterrupt):
            send(number)


def test_no_grace_is_no_time():
    stop = StopRequest(0, doing="finishing")
    with stop.heeded(), stop.draining():
        send(signal.SIGTERM)
    assert stop.left_s == 0


def test_handlers_are_put_back_whoever_took_the_signals_meanwhile():
    before = [signal.getsignal(number) for number in SIGNALS]
    stop = StopRequest(30, doing="finishing")
    with stop.heeded():
        signal.signal(signal.SIGTERM, lambda *_: None)  # as Ray does when a driver connects
        stop.heed()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_leaves_the_signals_alone():
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []

    def work() -> None:
        stop = StopRequest(30, doing="finishing")
        with stop.heeded(), stop.draining():
            stop.heed()
            seen.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before
