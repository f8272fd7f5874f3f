"""Pairs of recorded images as perception will form them, so that a player can wait for them."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from vima_ros.perception.frame_sync import StampSynchronizer
from vima_ros.replay.frames import Frame, Step
from vima_ros.specs import VIEWS


@dataclass(frozen=True)
class FramePair:
    """Images of both views, stamped within sync_slop, in order of their stamps."""

    first: Frame
    last: Frame

    @property
    def frames(self) -> tuple[Frame, Frame]:
        """Both images, in order of their stamps."""
        return self.first, self.last


@dataclass(frozen=True)
class PairedStep:
    """Step of a recording: ``pairs`` usable for a decision, ``frames`` up to the last of them.

    ``settled``: time from which a pair is usable [ns]; ``gap``: time between the two images of
    different views that are closest to each other [ns].
    """

    settled: int
    gap: int
    frames: list[Frame]
    pairs: list[FramePair]


def pair_steps(steps: Sequence[Step], sync_slop: int) -> list[PairedStep]:
    """Pair the images of the steps, in order, as perception does with that ``sync_slop`` [ns].

    A pair belongs to the step in which the later of its frames was received: a camera may be late
    by more than a step lasts.
    """
    home = {id(frame): number for number, step in enumerate(steps) for frame in step.frames}
    frames = sorted((frame for step in steps for frame in step.frames), key=_time)
    synchronizer = StampSynchronizer(VIEWS, sync_slop)
    pairs: list[list[FramePair]] = [[] for _ in steps]
    for frame in frames:
        matched = synchronizer.add(frame.view, frame.stamp, frame)
        if matched is not None:
            both = sorted((item for _, item in matched.values()), key=_time)
            pairs[max(home[id(each)] for each in both)].append(FramePair(*both))
    paired, played = [], 0
    for step, found in zip(steps, pairs, strict=True):
        begin = _time(frames[played - 1]) if played else (-1, -1)
        new = [pair for pair in found if _time(pair.last) > begin]  # time does not run back
        end = bisect.bisect(frames, _time(new[-1].last), key=_time) if new else played
        settled = [pair for pair in new if pair.last.stamp >= step.settled]
        paired.append(PairedStep(step.settled, _gap(step.frames), frames[played:end], settled))
        played = end
    return paired


def _time(frame: Frame) -> tuple[int, int]:
    """Return the time on the clock of the stamps: epoch and stamp [ns]."""
    return frame.epoch, frame.stamp


def _gap(frames: Sequence[Frame]) -> int:
    neighbours = [(a, b) for a, b in itertools.pairwise(frames) if a.view != b.view]
    return min(abs(b.stamp - a.stamp) for a, b in neighbours)
