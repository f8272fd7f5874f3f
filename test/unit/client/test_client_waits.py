"""Waits report what they wait for, by a clock that the tests move."""

import threading

import pytest

from vima_ros.client import message_buffer
from vima_ros.client.message_buffer import MessageBuffer, wait_with_progress
from vima_ros.errors import VimaError


class Clock:
    """Moves as far as each wait is long; ``true_at``: when what is waited for comes [s]."""

    def __init__(self, true_at: float) -> None:
        self.now, self.true_at, self.longest = 0.0, true_at, 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.longest = max(self.longest, seconds)
        self.now = min(self.now + seconds, self.true_at)
        return self.now >= self.true_at


def reports(monkeypatch, true_at: float, timeout: float) -> tuple[bool, list[float], Clock]:
    clock, times = Clock(true_at), []

    def describe() -> str:
        times.append(round(clock.now, 3))
        return "a thing"

    monkeypatch.setattr(message_buffer, "time", clock)
    return wait_with_progress(clock.wait, timeout, describe), times, clock


def test_what_comes_soon_is_not_reported(monkeypatch, capsys):
    assert reports(monkeypatch, 1.9, 60)[:2] == (True, [])
    assert capsys.readouterr().err == ""


def test_a_long_wait_is_reported_after_2_s_and_every_10(monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "88")
    came, times, clock = reports(monkeypatch, 30, 60)
    assert (came, times) == (True, [2, 12, 22])
    assert clock.longest <= message_buffer.POLL_PERIOD
    assert capsys.readouterr().err == "waiting for a thing (ROS_DOMAIN_ID=88)\n" * 3


def test_the_timeout_is_kept(monkeypatch):
    came, times, clock = reports(monkeypatch, 100, 7.3)
    assert (came, times) == (False, [2])
    assert clock.now == pytest.approx(7.3)


def test_no_domain_is_domain_0(monkeypatch, capsys):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    reports(monkeypatch, 3, 60)
    assert "(ROS_DOMAIN_ID=0)" in capsys.readouterr().err


@pytest.fixture
def buffer(monkeypatch):
    """A buffer whose waits report at once."""
    monkeypatch.setattr(message_buffer, "REPORT_DELAY", 0.0)
    return MessageBuffer(threading.Condition())


@pytest.mark.parametrize("what", ["a frame", lambda: "a frame"], ids=["text", "source"])
def test_an_inbox_reports_and_names_what_did_not_come(buffer, capsys, what):
    buffer.append("an old thing")
    with pytest.raises(VimaError, match=r"no a frame within 0\.01 s; last came: an old thing"):
        buffer.wait(lambda m: m == "new", 0.01, what)
    assert "waiting for a frame (ROS" in capsys.readouterr().err


def test_a_quiet_wait_reports_nothing(buffer, capsys):
    with pytest.raises(VimaError):
        buffer.wait(lambda m: True, 0.01, "the end", quiet=True)
    assert capsys.readouterr().err == ""


def test_the_first_that_fits_is_returned_and_none_before_after(buffer):
    for message in ("a1", "b1", "a2", "a3"):
        buffer.append(message)
    assert buffer.wait(lambda m: m[0] == "a", 0, "a", after=1) == "a2"
    assert buffer.wait(lambda m: m == "a1", 0, "a") == "a1"


def test_a_wait_from_a_later_number_on_does_not_take_the_next_message(buffer):
    def send():
        buffer.append(next(numbers))

    numbers = iter(range(10))
    send()  # while the wait is on, each check brings one more
    assert buffer.wait(lambda m: True, 30, "message", 3, check=send) == 3


def test_a_message_ends_the_wait(buffer):
    sender = threading.Timer(0.05, buffer.append, ["new"])
    sender.start()
    assert buffer.wait(lambda m: m == "new", 30, "new") == "new"
    sender.join()


def test_a_check_may_end_the_wait(buffer):
    def check():
        raise VimaError("NODE_DIED", "it died")

    with pytest.raises(VimaError, match="it died"):
        buffer.wait(lambda m: True, 30, "a message", check=check)


@pytest.fixture
def small():
    """A buffer that keeps three messages, of which seven have arrived."""
    buffer = MessageBuffer(threading.Condition(), capacity=3)
    for number in range(7):
        buffer.append(f"m{number}")
    return buffer


def test_at_its_capacity_a_buffer_drops_the_oldest_and_counts_them(small):
    assert (small.count, small.dropped) == (7, 4)
    assert small.since(4) == ["m4", "m5", "m6"]
    assert small.since(6) == ["m6"]
    assert small.since(7) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda buffer: buffer.messages,
        lambda buffer: buffer.since(3),
        lambda buffer: buffer.wait(lambda m: True, 0, "m", after=3),
    ],
    ids=["all", "since", "wait"],
)
def test_a_dropped_message_is_never_missed_silently(small, ask):
    with pytest.raises(VimaError, match="were dropped; valid: number 4") as error:
        ask(small)
    assert error.value.code == "MESSAGES_DROPPED"


def test_a_wait_for_any_message_looks_at_those_that_are_kept_and_reports_what_was_dropped(small):
    assert small.wait(lambda m: m >= "m3", 0, "m") == "m4"
    with pytest.raises(VimaError, match="last came: m6; 4 were dropped before"):
        small.wait(lambda m: m == "m0", 0.01, "m0")


def test_a_closed_buffer_has_unsubscribed_and_keeps_its_messages():
    closed = []
    with MessageBuffer(threading.Condition(), 3, lambda: closed.append(True)) as buffer:
        buffer.append("a")
    assert (closed, buffer.messages) == ([True], ["a"])
