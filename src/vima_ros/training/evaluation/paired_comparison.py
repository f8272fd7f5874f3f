"""Comparison of two success rates that were measured on the same episodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb, sqrt

from vima_ros.training.evaluation.policy_rollouts import Rate


@dataclass(frozen=True)
class PairedOutcomes:
    """Numbers of episodes by the outcomes of two runs: solved in both, in one of them, in none."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @staticmethod
    def count(pairs: Iterable[tuple[bool, bool]]) -> PairedOutcomes:
        """Count (solved in the first run, solved in the second run) of each episode."""
        found = list(pairs)
        kinds = (True, True), (True, False), (False, True), (False, False)
        return PairedOutcomes(*(found.count(kind) for kind in kinds))

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def first(self) -> Rate:
        """Success rate of the first run."""
        return Rate(self.both + self.only_first, self.episodes)

    @property
    def second(self) -> Rate:
        """Success rate of the second run."""
        return Rate(self.both + self.only_second, self.episodes)

    @property
    def difference(self) -> float:
        """Success rate of the second run less that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.episodes

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference: Newcombe's method 10 (Statistics in Medicine 17, 1998).

        It combines Wilson's intervals of the two rates with their correlation.
        """
        p1, p2 = self.first.share, self.second.share
        (low1, high1), (low2, high2) = self.first.interval, self.second.interval
        phi = self._correlation()

        def distance(a: float, b: float) -> float:
            return sqrt(max(0.0, a * a - 2.0 * phi * a * b + b * b))

        return (
            self.difference - distance(p2 - low2, high1 - p1),
            self.difference + distance(high2 - p2, p1 - low1),
        )

    @property
    def p_value(self) -> float:
        """Probability of a split of the discordant pairs that is at least as uneven by chance.

        McNemar's exact test, two-sided.
        """
        discordant = self.only_first + self.only_second
        fewer = min(self.only_first, self.only_second)
        tail = sum(comb(discordant, k) for k in range(fewer + 1)) / 2**discordant
        return min(1.0, 2.0 * tail)

    def _correlation(self) -> float:
        """Return the phi coefficient with Newcombe's continuity correction."""
        a, b, c, d = self.both, self.only_first, self.only_second, self.neither
        scale = sqrt((a + b) * (c + d) * (a + c) * (b + d))
        if scale == 0.0:
            return 0.0
        product = float(a * d - b * c)
        if product > 0.0:
            product = max(0.0, product - self.episodes / 2.0)
        return product / scale
