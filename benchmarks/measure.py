"""Interleaved measurements, compared by the ratio within each turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        ours: One value per turn.
        theirs: One value per turn, in the same turns.
        target: The highest acceptable ratio; None if it is only reported.
        command: The command that measures it.
    """

    what: str
    against: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    target: float | None = None
    command: str = ""

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median ratio."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The lower and upper quartile of the ratios."""
        if len(self.ratios) < 2:
            return self.ratio, self.ratio
        low, _, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return low, high

    def with_command(self, command: str) -> Row:
        return replace(self, command=command)

    @property
    def reached(self) -> bool | None:
        return None if self.target is None else self.ratio <= self.target


def interleave(measurements: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Measure in turns, each in a different order, so that a disturbance affects all; return all values."""
    values: dict[str, list[float]] = {name: [] for name in measurements}
    names = list(measurements)
    for turn in range(turns):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            values[name].append(measurements[name]())
    return values
