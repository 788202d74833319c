"""Interleaved measurements, compared by the ratio within each turn."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        ours: One value per turn.
        theirs: One value per turn, in the same turns; empty if there is nothing to compare with.
        target: The highest acceptable ratio; None if it is only reported.
    """

    what: str
    against: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    target: float | None = None

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)] if self.theirs else []

    @property
    def reached(self) -> bool | None:
        return None if self.target is None else statistics.median(self.ratios) <= self.target

    def __str__(self) -> str:
        """A line of a table in Markdown; the spread is the middle half of the ratios."""
        ours, theirs, ratio = (
            f"{statistics.median(values):.3g}" if values else "" for values in (self.ours, self.theirs, self.ratios)
        )
        low, _, high = statistics.quantiles(self.ratios, method="inclusive") if len(self.ratios) > 1 else ("", "", "")
        spread = f"{low:.2f} to {high:.2f}" if low else ""
        target = "" if self.target is None else f"≤ {self.target:.3g}{'' if self.reached else ' missed'}"
        return f"| {self.what} | {ours} {self.unit} | {self.against} | {theirs} | {ratio} | {spread} | {target} |"


def interleave[T](measurements: Mapping[str, Callable[[], T]], turns: int) -> dict[str, list[T]]:
    """Measure in turns, each in a different order, so that a disturbance affects all; return all values."""
    values: dict[str, list[T]] = {name: [] for name in measurements}
    names = list(measurements)
    for turn in range(turns):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            values[name].append(measurements[name]())
    return values
