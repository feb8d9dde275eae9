"""Queries: which tasks are meant, as one line of text that pages, screens and commands share.

The grammar is in docs/reference/queries.md. A query is a value: it knows no store and no clock.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final, NoReturn, Self

from qcore.app.client.qualifiers import (
    ARGS,
    CHAIN,
    ID,
    QUALIFIERS,
    QUEUE,
    STATE,
    ReadPayload,
    Subject,
    Unfit,
    chained_states,
    test_of,
)
from qcore.app.client.query_terms import Term, Word, is_like
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.text import is_utf8, shown

MAX_QUERY: Final = 4_000
"""Characters: it has to fit into a URL."""
STATES: Final = tuple(state for state in State if state is not State.GONE)


@record
class Query:
    """Select tasks: those that all terms fit; without any term, all."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the query that a text is.

        Raises `InvalidOption`, one line that names the place and what was expected there.
        """
        given: object = text
        if not isinstance(given, str) or not is_utf8(given) or len(given) > MAX_QUERY:
            raise InvalidOption(
                f"the query is {shown(text)}: expected text of at most {MAX_QUERY:,} characters"
            )
        return cls(_Reader(given).terms())

    @classmethod
    def where(cls, **values: str | Collection[str]) -> Self:
        """Return a query for exact values: `Query.where(state="dead", queue=["mail", "sms"])`."""
        return cls.parse(" ".join(map(str, map(_exactly, values, values.values()))))

    def __and__(self, other: "Query") -> "Query":
        """Return the query for what both select."""
        return Query(self.terms + other.terms)

    def __str__(self) -> str:
        """Return its text, which parses to the same query."""
        return " ".join(map(str, self.terms))

    # --- what a broker is asked -----------------------------------------------------------------

    def states(self) -> Sequence[State]:
        """Return the states in which its tasks can be."""
        return [state for state in STATES if self._lets(STATE, state) and self._lets_chains(state)]

    def named_queues(self) -> Sequence[str] | None:
        """Return the queues in which its tasks can be; None where it names none outright."""
        named = self._named(QUEUE)
        return None if named is None else sorted(named)

    def named_ids(self) -> Sequence[TaskId] | None:
        """Return the ids that its tasks can have; None where it names none outright."""
        return self._named(ID)

    def _named(self, qualifier: str) -> Sequence[str] | None:
        for term in self.terms:
            if term.qualifier == qualifier and not term.is_negated:
                names = dict.fromkeys(word.text for word in term.words if len(word.parts) == 1)
                if len(names) == len({word.text for word in term.words}):
                    return [name for name in names if self._lets(qualifier, name)]
        return None

    def has_queue(self, name: str) -> bool:
        """Return whether its tasks can be in a queue."""
        return self._lets(QUEUE, name)

    def _lets(self, qualifier: str, text: str) -> bool:
        return all(
            any(is_like(text, word.parts) for word in term.words) is not term.is_negated
            for term in self.terms
            if term.qualifier == qualifier
        )

    def _lets_chains(self, state: State) -> bool:
        return all(
            any(state in chained_states(word) for word in term.words)
            for term in self.terms
            if term.qualifier == CHAIN and not term.is_negated
        )

    # --- what is asked of each task ------------------------------------------------------------

    @property
    def needs_tasks(self) -> bool:
        """Return whether more is asked of a task than its queue and state."""
        return any(term.qualifier not in {STATE, QUEUE} for term in self.terms)

    def predicate(self, now: Moment, read: ReadPayload) -> Callable[[Task], bool]:
        """Return what says of a task whether it is selected; cheap terms are asked first."""
        ordered = sorted(self.terms, key=lambda term: QUALIFIERS[term.qualifier].cost)
        tests = [test_of(term) for term in ordered]

        def is_selected(task: Task) -> bool:
            subject = Subject(task, now, read)
            return all(test(subject) for test in tests)

        return is_selected


def query_of(given: Query | str) -> Query:
    """Return a query given as one, or as its text."""
    return given if isinstance(given, Query) else Query.parse(given)


def _exactly(qualifier: str, values: str | Collection[str]) -> Term:
    each = [values] if isinstance(values, str) else [*values]
    return Term(qualifier, tuple(Word(str(value), is_quoted=True) for value in each))


_BLANKS: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"[^\s:.,\"]*")
_BARE: Final = re.compile(r"[^\s,\"]+")
_BARE_NAME: Final = re.compile(r"[^\s:.,\"]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class _Reader:
    """Read a text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def terms(self) -> tuple[Term, ...]:
        terms: list[Term] = []
        self._take(_BLANKS)
        while self._at < len(self._text):
            terms.append(self._term())
            end = self._at
            self._take(_BLANKS)
            if end == self._at < len(self._text):
                self._fail("a blank, or a comma and another value")
        return tuple(terms)

    def _term(self) -> Term:
        is_negated = self._has("-")
        start = self._at
        qualifier = self._take(_NAME)
        if qualifier not in QUALIFIERS:
            self._at = start
            self._fail(f"qualifier:value, with one of {', '.join(QUALIFIERS)}; and text:… for text")
        path = self._path() if qualifier == ARGS else ()
        if not self._has(":"):
            self._fail(f"a colon and a value, such as {qualifier}:…")
        term = Term(qualifier, (), path, is_negated)
        words = [self._value(term)]
        while self._has(","):
            words.append(self._value(term))
        return Term(qualifier, tuple(words), path, is_negated)

    def _path(self) -> tuple[Word, ...]:
        path: list[Word] = []
        while self._has("."):
            path.append(self._word(_BARE_NAME, "the name of an argument, such as args.user.id:7"))
        if not path:
            self._fail("a dot and the name of an argument, such as args.user.id:7")
        return tuple(path)

    def _value(self, term: Term) -> Word:
        start = self._at
        word = self._word(_BARE, 'a value, in quotes if it has blanks or commas: "timed out"')
        try:
            test_of(Term(term.qualifier, (word,), term.path))
        except Unfit as error:
            self._at = start
            self._fail(str(error))
        return word

    def _word(self, bare: re.Pattern[str], expected: str) -> Word:
        if self._text[self._at : self._at + 1] == '"':
            found = _QUOTED.match(self._text, self._at)
            if found is None:
                self._fail(r"a quote that is closed, with \" and \\ for those in it")
            self._at = found.end()
            return Word(_ESCAPED.sub(r"\1", found[1]), is_quoted=True)
        if not (text := self._take(bare)):
            self._fail(expected)
        return Word(text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _has(self, mark: str) -> bool:
        is_there = self._text.startswith(mark, self._at)
        self._at += is_there
        return is_there

    def _fail(self, expected: str) -> NoReturn:
        rest = self._text[self._at :]
        there = shown(rest, 40) if rest else "its end"
        raise InvalidOption(
            f"the query has {there} at character {self._at + 1}: expected {expected}"
        )
