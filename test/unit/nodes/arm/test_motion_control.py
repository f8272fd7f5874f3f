"""The owner of the active command, with plain objects in place of robot, reports and people."""

import random
import sys
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_msgs.msg import ArmState
from vima_ros.arm.primitives import Waypoint
from vima_ros.arm.safety_gate import Approved, Request
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose
from vima_ros.nodes.arm.motion_control import MotionControl
from vima_ros.nodes.arm.robot_feedback import RobotFeedback
from vima_ros.specs import Primitive

HERE = Pose((0.5, 0.0, 0.1), (0.0, 0.0, 0.0, 1.0))
APPROVED = Approved((Waypoint(HERE, False, 0.5),))
NOT_CONFIRMED = VimaError("NOT_CONFIRMED", "refused by a person")


def request(command_id, prompt_id="p"):
    return Request(command_id, Primitive.PICK_PLACE, HERE, HERE, 0, prompt_id)


class Cell:
    """Motion control, and in ``log`` what it does to the robot, to people and to listeners."""

    def __init__(self, confirm=False, on_hold=lambda command_id: None):
        self.log, self.ready, self.on_hold, self.now = [], True, on_hold, 1
        robot = SimpleNamespace(
            begin=lambda command: self.log.append(("begin", command.command_id)),
            hold=self.hold,
            abandon=lambda: None,
            wait_until_received=lambda: self.log.append(("received", "")),
        )
        reports = SimpleNamespace(
            publish=lambda state, code, message, command_id="", since=None: self.log.append(
                (code, command_id)
            ),
            refuse=lambda error, command_id: self.log.append((error.code, command_id)),
        )
        requests = SimpleNamespace(
            request=lambda request, waypoints: self.log.append(("ask", request.command_id)),
            clear=lambda: self.log.append(("clear", "")),
        )
        self.motion = MotionControl(
            lambda: self.now, lambda: self.ready, robot, reports, requests if confirm else None
        )

    def hold(self, command_id):
        self.log.append(("hold", command_id))
        self.on_hold(command_id)

    def accept(self, command_id, prompt_id="p", stops=None):
        """Accept a command; return the code of a refusal, or an empty text."""
        stops = self.motion.snapshot().stops if stops is None else stops
        try:
            self.motion.accept(request(command_id, prompt_id), APPROVED, 0.0, stops)
        except VimaError as error:
            return error.code
        return ""

    @property
    def begun(self):
        return [command_id for what, command_id in self.log if what == "begin"]


def test_only_one_command_is_active():
    cell = Cell()
    assert cell.accept("a") == ""
    assert cell.accept("b") == "BUSY"
    assert cell.motion.snapshot().command_id == "a"
    cell.motion.end("a", ArmState.SUCCEEDED, "OK", "")
    assert cell.accept("b") == ""
    assert cell.begun == ["a", "b"]


def test_after_a_stop_nothing_is_sent_until_resume():
    cell = Cell()
    cell.accept("a")
    cell.motion.stop("a person")
    assert cell.log[-2:] == [("hold", "a"), ("STOPPED", "a")]
    assert cell.accept("b") == "STOPPED"
    assert cell.begun == ["a"]
    assert cell.motion.resume() == "resumed after a stop: a person"
    assert cell.accept("b") == ""


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (lambda cell: cell.motion.stop("a person"), "STOPPED"),
        (lambda cell: cell.motion.cancel("p", False), "CANCELLED"),
        (lambda cell: cell.motion.stop_before_exit("the end"), "STOPPED"),
        (lambda cell: setattr(cell, "ready", False), "NOT_ACTIVE"),
    ],
)
def test_what_comes_during_planning_is_respected_before_anyone_is_asked(event, code):
    """The check passed before it."""
    cell = Cell(confirm=True)
    event(cell)
    assert cell.accept("a") == code
    assert cell.motion.snapshot().active is None
    assert ("ask", "a") not in cell.log


def test_a_motion_planned_before_a_stop_is_not_sent_after_the_resume():
    cell = Cell()
    planned = cell.motion.snapshot().stops
    cell.motion.stop("a person")
    cell.motion.resume()
    assert cell.accept("a", stops=planned) == "STOPPED"
    assert cell.begun == []
    assert cell.accept("b") == ""


@pytest.mark.parametrize("event", ["stop", "cancel", "discard"])
def test_a_confirmation_too_late_moves_nothing(event):
    cell = Cell(confirm=True)
    cell.accept("a")
    waiting = cell.motion.snapshot().waiting
    if event == "stop":
        cell.motion.stop("a person")
        cell.motion.resume()
    elif event == "cancel":
        assert cell.motion.cancel("p", True) == "a is discarded"
    else:
        cell.motion.discard("a", NOT_CONFIRMED)
    cell.motion.send(waiting.command_id, APPROVED)
    assert cell.begun == []
    assert ("clear", "") in cell.log


def test_a_confirmed_command_is_sent_once():
    cell = Cell(confirm=True)
    cell.accept("a")
    assert cell.begun == []
    cell.motion.send("a", APPROVED)
    cell.motion.send("a", APPROVED)
    cell.motion.discard("a", NOT_CONFIRMED)
    assert cell.begun == ["a"]
    assert cell.motion.snapshot().active.sent


def test_a_command_that_has_ended_is_not_ended_stopped_or_marked_again():
    cell = Cell()
    cell.accept("a")
    cell.motion.cancel("p", False)
    cell.accept("b", "q")
    before, state = list(cell.log), cell.motion.snapshot()
    cell.motion.end("a", ArmState.SUCCEEDED, "OK", "", stop=True)
    cell.motion.abort("a", "TIMEOUT", "")
    cell.motion.mark_started("a")
    assert not cell.motion.stop("the robot has stopped", "a")
    assert (cell.log, cell.motion.snapshot()) == (before, state)


def test_an_end_that_stops_leaves_no_moment_for_a_resume():
    """A resume in the middle of it takes effect before or after both."""
    resumed = threading.Thread(target=lambda: cell.motion.resume())
    cell = Cell(on_hold=lambda command_id: resumed.start())
    cell.accept("a")
    cell.motion.end("a", ArmState.ABORTED, "NOT_MOVED", "", stop=True)
    resumed.join()
    codes = [what for what, _ in cell.log]
    assert codes == ["begin", "OK", "NOT_MOVED", "hold", "STOPPED", "RESUMED"]


def test_a_snapshot_shows_nothing_of_half_a_stop():
    states = []
    watcher = threading.Thread(target=lambda: states.append(cell.motion.snapshot()))

    def watch(command_id):
        watcher.start()
        watcher.join(0.2)  # it waits for the stop, unless it reads half of it

    cell = Cell(on_hold=watch)
    cell.accept("a")
    cell.motion.stop("a person")
    watcher.join()
    assert (states[0].active, states[0].stop_reason) == (None, "a person")


def test_a_restated_stop_needs_the_stop_it_restates():
    cell = Cell()
    cell.motion.stop("stop was called")
    cell.motion.resume()
    cell.motion.restate_stop("stop was called", "policy died")
    assert cell.motion.snapshot().stop_reason == ""
    cell.motion.stop("stop was called")
    cell.motion.restate_stop("stop was called", "policy died")
    assert cell.motion.snapshot().stop_reason == "policy died"


def test_the_robots_own_stop_after_a_cancel_does_not_stop_the_arm():
    """It reports that it holds while the cancelled command is not yet recorded as ended."""
    feedback = {}
    node = SimpleNamespace(
        create_subscription=lambda kind, topic, callback, profile: feedback.update(
            {topic: callback}
        )
    )
    report = ArmState(state=ArmState.STOPPED, command_id="a", message="stop commanded")
    threads = []

    def answer(command_id):
        threads.append(threading.Thread(target=lambda: feedback["arm_state"](report)))
        threads[-1].start()
        threads[-1].join(0.2)  # it waits for the cancel, unless it reads half of it

    cell = Cell(on_hold=answer)
    watchdog = SimpleNamespace(on_arm_state=lambda state: None)
    RobotFeedback(node, None, cell.motion, watchdog, None)
    cell.accept("a")
    assert cell.motion.cancel("p", False) == "a was aborted"
    threads[0].join()
    assert cell.motion.snapshot().stop_reason == ""
    assert [what for what, _ in cell.log] == ["begin", "OK", "hold", "CANCELLED"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_in_whatever_order(seed):
    pick = random.Random(seed)
    cell = Cell(confirm=seed % 2 == 0)
    motion, stopped = cell.motion, False
    for number in range(200):
        mark, state = len(cell.log), motion.snapshot()
        command_id = pick.choice([state.command_id, f"{number}", f"{number - 1}"])
        what = pick.randrange(9)
        if what <= 2:
            cell.accept(f"{number}", f"p{number}")
        elif what == 3:
            motion.send(command_id, APPROVED)
        elif what == 4:
            motion.discard(command_id, NOT_CONFIRMED)
        elif what == 5:
            motion.end(command_id, ArmState.ABORTED, "A", "words", stop=pick.random() < 0.3)
        elif what == 6:
            motion.cancel(f"p{command_id}", pick.random() < 0.5)
        elif what == 7:
            motion.stop("a person", pick.choice([None, command_id]))
        else:
            motion.resume()
        for event, _ in cell.log[mark:]:
            assert not (event == "begin" and stopped)
            stopped = {"STOPPED": True, "RESUMED": False}.get(event, stopped)
        assert bool(motion.snapshot().stop_reason) == stopped
        assert not (stopped and motion.snapshot().active)
    ended = [command_id for event, command_id in cell.log if event not in ("begin", "ask", "hold")]
    assert len(cell.begun) == len(set(cell.begun))
    assert set(cell.begun) <= {*ended, motion.snapshot().command_id}


def test_threads_that_send_and_stop_at_once_leave_every_snapshot_consistent():
    cell, torn = Cell(), []
    motion, running, switch = cell.motion, threading.Event(), sys.getswitchinterval()
    running.set()

    def send():
        for number in range(1500):
            cell.accept(f"{number}")
            motion.end(f"{number}", ArmState.SUCCEEDED, "OK", "")
        running.clear()

    def stop():
        while running.is_set():
            motion.stop("a person")
            motion.resume()

    def watch():
        while running.is_set():
            state = motion.snapshot()
            if state.active and (state.stop_reason or not state.active.sent):
                torn.append(state)

    threads = [threading.Thread(target=target) for target in (send, stop, watch)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert torn == []
    stopped = False
    for what, _ in cell.log:  # in the order in which they were published
        assert not (what == "begin" and stopped)
        stopped = {"STOPPED": True, "RESUMED": False}.get(what, stopped)
    assert cell.begun
