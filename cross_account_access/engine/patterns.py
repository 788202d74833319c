"""Which of several patterns one string can match at the same time.

A policy looks at a field of a request only through patterns. So all that can be said of a free string is which of them
it matches, and there are few combinations; they are found by running all patterns side by side over every string there
is. z3 decides over these combinations: exactly, and in milliseconds where its own theory of strings takes minutes.
"""

import re
import string
from collections import deque
from functools import cache

# Alphabets, most readable characters first: those that no pattern names are interchangeable.
PRINTABLE = (
    string.ascii_lowercase
    + string.digits
    + string.ascii_uppercase
    + "".join(sorted(set(map(chr, range(33, 127))) - set(string.ascii_letters + string.digits)))
)
LOWER = string.ascii_lowercase + string.digits + "-:./_"
NAME = string.ascii_letters + string.digits + "+=,.@/_-"
UNIQUE_ID = string.ascii_uppercase + string.digits

_ANY, _ANY_IN_PART, _ANY_IN_SEGMENT, _DIGIT = "any", "any in part", "any in segment", "digit"


type Pattern = tuple[tuple[str, bool], ...]
"""Pieces of a pattern: a character or a class of characters, and whether it may be repeated or left out."""


SEGMENT: Pattern = ((_ANY_IN_SEGMENT, False), (_ANY_IN_SEGMENT, True))
"""A part between slashes, which is not empty."""


def glob(pattern: str) -> Pattern:
    """Compile an IAM pattern, in which `*` matches any characters and `?` one, but not in `${*}` and `${?}`."""
    return tuple(
        (piece[2], False) if len(piece) == 4 else (_ANY, piece == "*") if piece in {"*", "?"} else (piece, False)
        for piece in re.findall(r"\$\{[*?$]\}|.", pattern, re.DOTALL)
    )


def arn(pattern: str) -> Pattern:
    """Compile the pattern of an ARN, whose wildcards match a colon only in the last of the six parts."""
    *parts, last = pattern.split(":", 5)
    pieces: list[tuple[str, bool]] = []
    for part in parts:
        pieces += [(_ANY_IN_PART if piece == _ANY else piece, repeated) for piece, repeated in glob(part)]
        pieces.append((":", False))
    return (*pieces, *glob(last))


def literal(text: str) -> Pattern:
    """Compile a string that matches only itself."""
    return tuple((character, False) for character in text)


def route(method: str, path: str) -> Pattern:
    """Compile the end of the ARNs of a route's calls: `GET/orders/7f3c` for `GET /orders/{order_id}`.

    A parameter is one segment of the path, a greedy one (`{proxy+}`) the rest of it. The method `ANY` is all methods.
    """
    pieces = SEGMENT if method == "ANY" else literal(method)
    for part in path.removeprefix("/").split("/"):
        pieces += literal("/")
        if part.endswith("+}"):
            pieces += ((_ANY, False), (_ANY, True))
        else:
            pieces += SEGMENT if part.startswith("{") else literal(part)
    return pieces


def account_then(text: str) -> Pattern:
    """Compile a pattern of any account id followed by a text and anything else."""
    return (*((_DIGIT, False),) * 12, *glob(f"{text}*"))


def matches(text: str, pattern: Pattern) -> bool:
    """Return whether a string matches a pattern."""
    states = _closed({0}, pattern)
    for character in text:
        states = _step(states, pattern, character)
    return len(pattern) in states


@cache
def combinations(patterns: tuple[Pattern, ...], alphabet: str) -> dict[tuple[bool, ...], str]:
    """Return each combination (matched or not, by pattern) with one of the shortest non-empty strings for it.

    Raises:
        TooManyCombinationsError: The patterns overlap in more ways than anyone can compare.
    """
    # A literal is one string; only the other patterns need an automaton each.
    texts = {"".join(piece for piece, _ in pattern): i for i, pattern in enumerate(patterns) if _is_one_text(pattern)}
    others = tuple(pattern for pattern in patterns if not _is_one_text(pattern))
    places = [i for i, pattern in enumerate(patterns) if not _is_one_text(pattern)]
    following: dict[str, set[str]] = {}
    for text in texts:
        for end in range(len(text)):
            following.setdefault(text[:end], set()).add(text[end])
    automata = [_automaton(pattern) for pattern in others]
    start = ((0,) * len(automata), "")
    found: dict[tuple[bool, ...], str] = {}
    seen: set[tuple[tuple[int, ...], str | None]] = {start}
    todo: deque[tuple[tuple[int, ...], str | None, str]] = deque([(*start, "")])
    while todo:
        states, prefix, text = todo.popleft()
        branches = following.get(prefix, set()) if prefix is not None else set()
        for character in _telling(states, automata, alphabet, branches):
            after = tuple([automaton.step(state, character) for state, automaton in zip(states, automata, strict=True)])
            longer = text + character
            step = (after, longer if character in branches else None)
            if step in seen:
                continue
            seen.add(step)
            todo.append((*step, longer))
            if len(seen) > _MOST_STATES:
                raise TooManyCombinationsError(f"{len(patterns)} patterns overlap in too many ways")
            matched = [False] * len(patterns)
            for place, automaton, state in zip(places, automata, after, strict=True):
                matched[place] = automaton.accepts[state]
            if longer in texts:
                matched[texts[longer]] = True
            found.setdefault(tuple(matched), longer)
    return found


class _Automaton:
    """The states that a pattern can be in, by number, found as they are reached."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._numbers: dict[frozenset[int], int] = {}
        self._states: list[frozenset[int]] = []
        self._steps: list[dict[str, int]] = []
        self.accepts: list[bool] = []
        self.named: list[frozenset[str]] = []  # what is told apart in a state
        self._number(_closed({0}, pattern))

    def _number(self, state: frozenset[int]) -> int:
        if state not in self._numbers:
            self._numbers[state] = len(self._states)
            self._states.append(state)
            self._steps.append({})
            self.accepts.append(len(self._pattern) in state)
            self.named.append(frozenset(self._pattern[index][0] for index in state if index < len(self._pattern)))
        return self._numbers[state]

    def step(self, state: int, character: str) -> int:
        known = self._steps[state]
        if character not in known:
            known[character] = self._number(_step(self._states[state], self._pattern, character))
        return known[character]


_automaton = cache(_Automaton)
_MOST_STATES = 60_000


class TooManyCombinationsError(Exception):
    """Patterns overlap in more ways than anyone can compare."""


def _is_one_text(pattern: Pattern) -> bool:
    return all(len(piece) == 1 and not repeated for piece, repeated in pattern)


def _telling(states: tuple[int, ...], automata: list[_Automaton], alphabet: str, branches: set[str]) -> list[str]:
    """Return the characters that the patterns distinguish here, and one that represents all others."""
    named = {":", "/"}.union(
        branches, *(automaton.named[state] for state, automaton in zip(states, automata, strict=True))
    )
    if _DIGIT in named:
        named |= {string.digits[0]} if named.isdisjoint(string.digits) else set(string.digits)
    other = next((character for character in alphabet if character not in named), None)
    # Classes of characters are longer than one.
    return [*([other] if other else []), *sorted(named.intersection(alphabet), key=alphabet.index)]


def _step(states: frozenset[int], pattern: Pattern, character: str) -> frozenset[int]:
    if not states:
        return states
    after = set()
    for index in states:
        if index == len(pattern):
            continue
        piece, repeated = pattern[index]
        if (
            piece in {_ANY, character}
            or (piece == _ANY_IN_PART and character != ":")
            or (piece == _ANY_IN_SEGMENT and character != "/")
            or (piece == _DIGIT and character in string.digits)
        ):
            after.add(index if repeated else index + 1)
    return _closed(after, pattern)


def _closed(states: set[int], pattern: Pattern) -> frozenset[int]:
    closed = set(states)
    for index in sorted(states):
        end = next((i for i in range(index, len(pattern)) if not pattern[i][1]), len(pattern))
        closed |= set(range(index, end + 1))
    return frozenset(closed)


def after(prefix: str, pattern: str) -> set[str]:
    """Return the patterns that the rest of a string must match after a prefix, for the whole to match a pattern."""
    if not prefix:
        return {pattern}
    if pattern.startswith("*"):
        return after(prefix, pattern[1:]) | after(prefix[1:], pattern)
    if pattern[:1] in {prefix[0], "?"}:
        return after(prefix[1:], pattern[1:])
    return set()


def is_literal(pattern: str) -> bool:
    """Return whether a pattern has no wildcard."""
    return not re.search(r"[*?]", pattern)
