"""Which values a parameter admits: patterns as automata, and whether one admits more than another."""

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from re import _constants as constants
from re import _parser as parser
from typing import Any

_LIMIT = 20_000  # states
_ALPHABET = [*map(chr, range(32, 127)), "\n", "é"]
_ENDS = {constants.AT_BEGINNING, constants.AT_BEGINNING_STRING, constants.AT_END, constants.AT_END_STRING}
_CATEGORIES = {
    constants.CATEGORY_DIGIT: r"\d",
    constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s",
    constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w",
    constants.CATEGORY_NOT_WORD: r"\W",
}


class UnsupportedError(Exception):
    """A pattern uses what no automaton has: lookahead, references, word boundaries."""


def text_of(value: Any) -> Any:
    """Return a scalar as IAM reads it: bools in lower case, numbers as texts."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def admits(declaration: Mapping[str, Any], value: str) -> bool:
    """Return whether a parameter may have a value; True if that is not known."""
    allowed = declaration.get("AllowedValues")
    if allowed:
        return value in {str(text_of(item)) for item in allowed}
    pattern = declaration.get("AllowedPattern")
    members = value.split(",") if declaration.get("Type") == "CommaDelimitedList" else [value]
    try:
        return not pattern or all(re.fullmatch(str(pattern), member, re.ASCII) for member in members)
    except re.error:
        return True


def added(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Return a value that the new declaration of a parameter admits and the old one does not; None if there is none.

    Raises:
        UnsupportedError: The patterns cannot be compared.
    """
    relevant = ("AllowedValues", "AllowedPattern", "MinLength", "MaxLength", "MinValue", "MaxValue")
    if [old.get(key) for key in relevant] == [new.get(key) for key in relevant]:
        return None
    if values := new.get("AllowedValues"):
        texts = [str(text_of(value)) for value in values]
        return next((text for text in texts if not admits(old, text) or not _fits(old, text)), None)
    if old.get("AllowedValues"):
        listed = [str(text_of(value)) for value in old["AllowedValues"]]
        return next((text for text in _samples(new) if text not in listed), None)
    low, high = (_number(old, new, key, sign) for key, sign in (("MinValue", -1), ("MaxValue", 1)))
    if low is not None or high is not None:
        return low if low is not None else high
    return _shortest(_automaton(_pattern(new)), _automaton(_pattern(old)), _lengths(new), _lengths(old))


def sample(declaration: Mapping[str, Any], but: frozenset[str] = frozenset(), *, account: bool = False) -> str | None:
    """Return a short value that a parameter admits, an account id if possible; None if there is no other."""
    return next((text for text in _samples(declaration, account=account) if text not in but), None)


def _samples(declaration: Mapping[str, Any], *, account: bool = False) -> Iterator[str]:
    """Find some values, the most readable first."""
    if values := declaration.get("AllowedValues"):
        yield from (str(text_of(value)) for value in values)
        return
    if declaration.get("Type") == "Number":
        least, most = float(declaration.get("MinValue", 1)), float(declaration.get("MaxValue", 10**9))
        yield from map(str, range(math.ceil(least), math.floor(most) + 1))
        return
    usual = ("222222222222", "000000000000", "other") if account else ("other", "another", "222222222222")
    least, most = _lengths(declaration)
    yield from (text for text in usual if admits(declaration, text) and least <= len(text) <= most)
    try:
        automaton = _automaton(_pattern(declaration))
    except UnsupportedError:
        return
    for shorter in (max(least, 1), least, least + 7, least + 19):
        found = _shortest(automaton, (), (shorter, most), (0, 0))
        if found is not None:
            yield found


def within(declaration: Mapping[str, Any], pattern: str) -> bool:
    """Return whether all values of a parameter match a pattern; False if that is not known."""
    if allowed := declaration.get("AllowedValues"):
        return all(re.fullmatch(pattern, str(value)) for value in allowed)
    if declaration.get("Type") == "Number":
        return re.fullmatch(pattern, "0123456789") is not None
    try:
        return _shortest(_automaton(_pattern(declaration)), _automaton(pattern), (0, 10**9), (0, 10**9)) is None
    except UnsupportedError:
        return False


def _fits(declaration: Mapping[str, Any], text: str) -> bool:
    least, most = _lengths(declaration)
    return least <= len(text) <= most


def _pattern(declaration: Mapping[str, Any]) -> str:
    return str(declaration.get("AllowedPattern", r"(.|\n)*"))


def _lengths(declaration: Mapping[str, Any]) -> tuple[int, int]:
    return int(declaration.get("MinLength", 0)), int(declaration.get("MaxLength", 10**9))


def _number(old: Mapping[str, Any], new: Mapping[str, Any], key: str, sign: int) -> str | None:
    if key not in old or (key in new and sign * float(new[key]) <= sign * float(old[key])):
        return None
    return str(new[key]) if key in new else str(int(float(old[key])) + sign)


# --- Automata: a state's edges are (characters, state); those without characters are entered at once -----------------

type Automaton = tuple[tuple[tuple[frozenset[str] | None, int], ...], ...]
"""Edges by state; the first state begins, the last one accepts."""


@cache
def _automaton(pattern: str) -> Automaton:
    try:
        parsed = parser.parse(pattern, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnsupportedError(f"{pattern}: {error}") from error
    builder = _Builder(pattern)
    end = builder.sequence(parsed, builder.state())
    edges = builder.edges
    last = len(edges) - 1
    if end != last:
        edges.append([])
        edges[end].append((None, len(edges) - 1))
    return tuple(map(tuple, edges))


class _Builder:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.edges: list[list[tuple[frozenset[str] | None, int]]] = []

    def state(self) -> int:
        if len(self.edges) > _LIMIT:
            raise UnsupportedError(f"{self._pattern} is too large")
        self.edges.append([])
        return len(self.edges) - 1

    def sequence(self, parsed: Any, start: int) -> int:
        for operation, argument in parsed:
            start = self._piece(operation, argument, start)
        return start

    def _piece(self, operation: Any, argument: Any, start: int) -> int:
        match operation:
            case constants.SUBPATTERN:
                return self.sequence(argument[3], start)
            case constants.BRANCH:
                end = self.state()
                for branch in argument[1]:
                    before = self.state()
                    self.edges[start].append((None, before))
                    self.edges[self.sequence(branch, before)].append((None, end))
                return end
            case constants.MAX_REPEAT | constants.MIN_REPEAT:
                least, most, repeated = argument
                return self._repeat(least, most, repeated, start)
            case constants.AT if argument in _ENDS:
                return start  # the whole value must match anyway
        end = self.state()
        self.edges[start].append((self._characters(operation, argument), end))
        return end

    def _repeat(self, least: int, most: Any, parsed: Any, start: int) -> int:
        for _ in range(least):
            start = self.sequence(parsed, start)
        if most is constants.MAXREPEAT:
            again, end = self.state(), self.state()
            self.edges[start] += [(None, again), (None, end)]
            self.edges[self.sequence(parsed, again)] += [(None, again), (None, end)]
            return end
        end = self.state()
        for _ in range(int(most) - least):
            self.edges[start].append((None, end))
            start = self.sequence(parsed, start)
        self.edges[start].append((None, end))
        return end

    def _characters(self, operation: Any, argument: Any) -> frozenset[str]:
        match operation:
            case constants.LITERAL:
                return frozenset({chr(argument)})
            case constants.NOT_LITERAL:
                return frozenset(_ALPHABET) - {chr(argument)}
            case constants.ANY:
                return frozenset(_ALPHABET) - {"\n"}
            case constants.RANGE:
                return frozenset(map(chr, range(argument[0], min(argument[1], 0xFF) + 1)))
            case constants.CATEGORY:
                return frozenset(filter(re.compile(_CATEGORIES[argument], re.ASCII).match, _ALPHABET))
            case constants.IN:
                negated = argument[0][0] is constants.NEGATE
                found = frozenset().union(*(self._characters(*item) for item in argument[negated:]))
                return frozenset(_ALPHABET) - found if negated else found
        raise UnsupportedError(f"{self._pattern} uses {str(operation).lower()}")


@cache
def _shortest(new: Automaton, old: Automaton, new_lengths: tuple[int, int], old_lengths: tuple[int, int]) -> str | None:
    """Return a shortest text of the new automaton and lengths that the old ones do not take."""
    characters = _representatives(new, old)
    # Lengths beyond which nothing changes any more.
    cap = max(n for n in (*new_lengths, *old_lengths, 0) if n < 10**9) + 1
    start = (_closed(new, {0}), _closed(old, {0}) if old else frozenset(), 0)
    todo, seen = deque([(start, "")]), {start}
    while todo:
        (state, other, length), text = todo.popleft()
        taken = bool(old) and len(old) - 1 in other and old_lengths[0] <= len(text) <= old_lengths[1]
        if len(new) - 1 in state and new_lengths[0] <= len(text) <= new_lengths[1] and not taken:
            return text
        if len(seen) > _LIMIT:
            raise UnsupportedError("the patterns are too large")
        if len(text) >= new_lengths[1]:
            continue
        for character in characters:
            after = _step(new, state, character)
            if after:
                following = (after, _step(old, other, character), min(length + 1, cap))
                if following not in seen:
                    seen.add(following)
                    todo.append((following, text + character))
    return None


def _representatives(*automata: Automaton) -> list[str]:
    """Return one character for each set of characters that the automata treat alike."""
    classes = {edge for automaton in automata for edges in automaton for edge, _ in edges if edge is not None}
    found: dict[tuple[bool, ...], str] = {}
    preferred = "ao0A-/:*" + "".join(_ALPHABET)
    extra = sorted(set().union(*classes) - set(preferred)) if classes else []
    for character in [*preferred, *extra]:
        found.setdefault(tuple(character in edge for edge in classes), character)
    return [character for truths, character in found.items() if any(truths)]


def _closed(automaton: Automaton, states: set[int]) -> frozenset[int]:
    found, todo = set(states), list(states)
    while todo:
        for edge, target in automaton[todo.pop()]:
            if edge is None and target not in found:
                found.add(target)
                todo.append(target)
    return frozenset(found)


def _step(automaton: Automaton, states: frozenset[int], character: str) -> frozenset[int]:
    after = {
        target
        for state in states
        for edge, target in (automaton[state] if automaton else ())
        if edge is not None and character in edge
    }
    return _closed(automaton, after) if after else frozenset()
