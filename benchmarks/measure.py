"""Side by side: contestants take turns, and what counts is their ratio within each turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured.
        against: What it is compared with.
        unit: Of `ours` and `theirs`.
        ours: One value a turn.
        theirs: One value a turn, in the same turns.
        target: The ratio to reach; None if it is only reported.
        command: What shows it again.
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
        """Median of the turns' ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile of the turns' ratios."""
        if len(self.ratios) < 2:
            return self.ratio, self.ratio
        low, _, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return low, high

    def shown_by(self, command: str) -> Row:
        """Return the row with the command that shows it again."""
        return replace(self, command=command)

    @property
    def reached(self) -> bool | None:
        return None if self.target is None else self.ratio <= self.target


def take_turns(contestants: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Measure contestants in turns, each time in another order, so that what disturbs the machine disturbs all.

    Args:
        contestants: What gives one value each, by name.
        turns: How many values of each.

    Returns:
        The values by name, one a turn.
    """
    values: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(turns):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            values[name].append(contestants[name]())
    return values
