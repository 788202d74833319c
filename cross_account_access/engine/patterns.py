"""Which of several patterns one string can match at the same time.

A policy looks at a field of a request only through patterns. So all that can be said of a free string is which of them
it matches, and there are few combinations; they are found by running all patterns side by side over every string there
is. z3 decides over these combinations: exactly, and in milliseconds where its own theory of strings takes minutes.
"""

import re
import string
from collections import deque
from functools import cache, cached_property

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
# The characters that a class of them tells apart from the others.
_TOLD = {_ANY: "", _ANY_IN_PART: ":", _ANY_IN_SEGMENT: "/", _DIGIT: string.digits}


type Pattern = tuple[tuple[str, bool], ...]
"""Pieces of a pattern: a character or a class of characters, and whether it may be repeated or left out."""


SEGMENT: Pattern = ((_ANY_IN_SEGMENT, False), (_ANY_IN_SEGMENT, True))
"""A part between slashes, which is not empty."""


@cache
def glob(pattern: str) -> Pattern:
    """Compile an IAM pattern, in which `*` matches any characters and `?` one, but not in `${*}` and `${?}`."""
    return tuple(
        (piece[2], False) if len(piece) == 4 else (_ANY, piece == "*") if piece in {"*", "?"} else (piece, False)
        for piece in re.findall(r"\$\{[*?$]\}|.", pattern, re.DOTALL)
    )


@cache
def arn(pattern: str) -> Pattern:
    """Compile the pattern of an ARN, whose wildcards match a colon only in the last of the six parts."""
    *parts, last = pattern.split(":", 5)
    pieces: list[tuple[str, bool]] = []
    for part in parts:
        pieces += [(_ANY_IN_PART if piece == _ANY else piece, repeated) for piece, repeated in glob(part)]
        pieces.append((":", False))
    return (*pieces, *glob(last))


@cache
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
    order = {character: place for place, character in reversed([*enumerate(alphabet)])}
    start = (tuple(automaton.start for automaton in automata), "")
    found: dict[tuple[bool, ...], str] = {}
    seen: set[tuple[tuple[_State, ...], str | None]] = {start}
    todo: deque[tuple[tuple[_State, ...], str | None, str]] = deque([(*start, "")])
    while todo:
        states, prefix, text = todo.popleft()
        branches = following.get(prefix, set()) if prefix is not None else set()
        telling: dict[str, list[int]] = {":": [], "/": [], **{key: [] for key in branches}}
        for place, state in enumerate(states):
            for character in state.after:
                telling[character] = [*telling.get(character, ()), place]
        # The characters that the patterns distinguish here, and before them one that represents all others.
        other = next((character for character in alphabet if character not in telling), None)
        usual = [state.otherwise for state in states]
        for character in ([other] if other else []) + sorted(telling.keys() & order.keys(), key=order.__getitem__):
            reached = usual.copy()
            for place in telling.get(character, ()):
                reached[place] = states[place].after[character]
            after = tuple(reached)
            longer = text + character
            step = (after, longer if character in branches else None)
            if step in seen:
                continue
            seen.add(step)
            todo.append((*step, longer))
            if len(seen) > _MOST_STATES:
                raise TooManyCombinationsError(f"{len(patterns)} patterns overlap in too many ways")
            matched = [False] * len(patterns)
            for place, state in zip(places, after, strict=True):
                matched[place] = state.accepts
            if longer in texts:
                matched[texts[longer]] = True
            found.setdefault(tuple(matched), longer)
    return found


class _State:
    """A state of a pattern's automaton, with the states that follow it; they are found as they are reached."""

    def __init__(self, automaton: "_Automaton", places: frozenset[int]) -> None:
        self._automaton = automaton
        self._places = places
        self.accepts = len(automaton.pattern) in places

    @cached_property
    def after(self) -> dict[str, "_State"]:
        """The states after the characters that are told apart."""
        pattern = self._automaton.pattern
        pieces = {pattern[place][0] for place in self._places if place < len(pattern)}
        told = {character for piece in pieces for character in _TOLD.get(piece, piece)}
        return {character: self._automaton.step(self._places, character) for character in told}

    @cached_property
    def otherwise(self) -> "_State":
        """The state after any other character."""
        return self._automaton.step(self._places, "")


class _Automaton:
    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self._states: dict[frozenset[int], _State] = {}
        self.start = self._state(_closed({0}, pattern))

    def _state(self, places: frozenset[int]) -> _State:
        return self._states.setdefault(places, _State(self, places))

    def step(self, places: frozenset[int], character: str) -> _State:
        return self._state(_step(places, self.pattern, character))


_automaton = cache(_Automaton)
_MOST_STATES = 60_000


class TooManyCombinationsError(Exception):
    """Patterns overlap in more ways than anyone can compare."""


def _is_one_text(pattern: Pattern) -> bool:
    return all(len(piece) == 1 and not repeated for piece, repeated in pattern)


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
            or (piece == _DIGIT and character and character in string.digits)
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
