"""Recorded camera frames, their times, and their division into steps.

A message has two times: when the recorder received it (the bag's time), and the stamp of its
header. The bag's time orders messages; all else goes by the stamps, which may be of another clock
(a simulation's) or earlier (by the camera's latency). Where a stamp is zero, the bag's time stands
in, moved onto the clock of the other stamps where there are some.
"""

from __future__ import annotations

import bisect
import statistics
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vima_ros.specs import VIEWS

CANDIDATES = 3  # pairs of frames a decision is tried on: one may be lost or refused
LATEST = (2**31 - 1) * 1_000_000_000  # a stamp can be [ns]
CLOCK_RESET = 2_000_000_000  # [ns] a stamp further back means that the clock was set back
JITTER, OTHER_CLOCK = 50_000_000, 5_000_000_000  # [ns] what lies between is latency


@dataclass(frozen=True)
class Frame:
    """One camera image.

    ``stamp`` of its header, ``received`` by the recorder [ns]; ``data``: the message as recorded,
    serialised, sensor_msgs/CompressedImage where ``compressed``, else Image. ``epoch``: how often
    the clock of the stamps was set back before.
    """

    stamp: int
    view: str
    data: bytes
    received: int = 0
    compressed: bool = False
    epoch: int = 0

    @property
    def message(self) -> bytes:
        """Serialized message, with ``stamp`` in its header where that was zero."""
        order = "<" if self.data[1] & 1 else ">"  # CDR's encapsulation: which end comes first
        seconds, nanoseconds = divmod(self.stamp, 1_000_000_000)
        return self.data[:4] + struct.pack(f"{order}iI", seconds, nanoseconds) + self.data[12:]


@dataclass(frozen=True)
class Step:
    """Frames before one decision, in order of their stamps.

    ``frames`` of the whole step; in the first of them a robot may still move. From ``settled`` on
    [ns, as the stamps], a decision may be made.
    """

    settled: int
    frames: tuple[Frame, ...] = field(repr=False)


class End(NamedTuple):
    """End of a step: time of the recorded decision, and its observation's stamp (0: unknown)."""

    received: int
    observed: int = 0  # stamp of the older view [ns]
    newest: int = 0  # of the newer view


def set_times(frames: Sequence[Frame]) -> list[Frame]:
    """Set the epochs of frames in the bag's order, and a stamp where theirs is zero."""
    return _in_epochs(_stamped(frames))


def _stamped(frames: Sequence[Frame]) -> list[Frame]:
    """Replace zero stamps: as far before the bag's time as those around them."""
    known = {view: [f for f in frames if f.view == view and f.stamp > 0] for view in VIEWS}
    every = [frame for frame in frames if frame.stamp > 0]
    found = []
    for frame in frames:
        near = known[frame.view] or every  # a camera has a latency of its own
        if frame.stamp <= 0 and near:
            at = bisect.bisect(near, frame.received, key=lambda f: f.received)
            leads = [f.stamp - f.received for f in near[max(at - 2, 0) : at + 1]]
            lead = round(statistics.median(leads))
            frame = replace(frame, stamp=min(max(frame.received + lead, 1), LATEST))
        elif frame.stamp <= 0:
            frame = replace(frame, stamp=frame.received)
        found.append(frame)
    return found


def _in_epochs(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames with epochs, which begin where the stamps of a view jump back."""
    newest: dict[str, int] = {}
    epochs = dict.fromkeys(VIEWS, 0)
    numbered = []
    for frame in frames:
        if frame.stamp < newest.get(frame.view, frame.stamp) - CLOCK_RESET:
            epochs[frame.view] += 1
            newest[frame.view] = frame.stamp
        newest[frame.view] = max(frame.stamp, newest.get(frame.view, frame.stamp))
        numbered.append(replace(frame, epoch=epochs[frame.view]))
    return numbered


def _ahead(frames: Sequence[Frame]) -> dict[str, int]:
    """Compute the lead of a view's frames over the other view's of the same time [ns].

    No decision is made on them until then.
    """
    latency = {
        view: round(statistics.median(f.received - f.stamp for f in frames if f.view == view))
        for view in VIEWS
    }
    ahead = {view: max(latency.values()) - latency[view] for view in VIEWS}
    return {v: time if JITTER < time < OTHER_CLOCK else 0 for v, time in ahead.items()}


def cut(frames: Sequence[Frame], ends: Sequence[End]) -> list[Step]:
    """Cut one step up to each end that has frames of both views before it."""
    steps: list[Step] = []
    ahead = _ahead(frames)
    stamps = {frame.stamp for frame in frames}
    coming = deque(sorted(frames, key=lambda frame: frame.received + ahead[frame.view]))
    waiting = list[Frame]()
    for end in ends:
        while coming and coming[0].received + ahead[coming[0].view] <= end.received:
            waiting.append(coming.popleft())
        inside, later = waiting, list[Frame]()
        if end.observed in stamps and end.observed:  # a step before may have it: sent again
            inside = [frame for frame in waiting if frame.stamp <= end.newest]
            later = [frame for frame in waiting if frame.stamp > end.newest]
        inside = sorted(inside, key=lambda frame: (frame.epoch, frame.stamp))
        newest = [[f.stamp for f in inside if f.view == view][-CANDIDATES:] for view in VIEWS]
        if all(newest):
            steps.append(Step(min(stamps[0] for stamps in newest), tuple(inside)))
            waiting = later
    return steps
