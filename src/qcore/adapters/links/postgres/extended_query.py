"""Statements over libpq's extended query protocol, below psycopg's cursors.

A cursor of psycopg's takes any query and any value, and describes what it answers: that costs it
some 150 microseconds a statement. The statements here are a fixed set: a connection prepares each
once, and finds once how its rows are loaded.

`ExtendedQuery` has generators that yield what they wait for, as psycopg's `wait` of either colour
runs them. That cancels on the server what is cancelled here, and reads what is still to come.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias
from zlib import crc32

from psycopg import DataError, Error, OperationalError
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from qcore.adapters.links.postgres.interfaces import Row, Statement, Values

Waiting: TypeAlias = Generator[Wait, Ready, list[Row]]
"""Yields what it waits for, is sent what is ready, and returns rows."""
Parameters: TypeAlias = list[bytes | None]

_PARAMETER: Final = re.compile(r"%(?:\((\w+)\)s|%)")


@lru_cache(maxsize=1_024)
def numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with `$1` for each of the first of its `%(name)s`, and so on; the names.

    What is written `%%` is a `%`.
    """
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name: str | None = found[1]
        return "%" if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _PARAMETER.sub(number, sql).encode(), (*numbers,)


def _text(value: str) -> bytes:
    if "\0" in value:
        # libpq takes it for the end of the text
        raise DataError("a text of Postgres cannot contain the character \\u0000")
    return value.encode()


_Encoder: TypeAlias = tuple[int, Format, Callable[[Any], bytes | None]]
_ENCODERS: Final[Mapping[type[Any], _Encoder]] = {
    int: (20, Format.TEXT, lambda value: b"%d" % value),
    float: (701, Format.TEXT, lambda value: repr(value).encode()),
    bool: (16, Format.TEXT, lambda value: b"t" if value else b"f"),
    bytes: (17, Format.BINARY, bytes),
    str: (0, Format.TEXT, _text),
    type(None): (0, Format.TEXT, lambda _: None),
}
"""By the type of a value: the OID of the type that the server is told (0 for what it expects
there), the format in which the value is sent, and how it is encoded."""


def _encoder_of(kind: type[Any]) -> _Encoder:
    for base in kind.__mro__:
        if base in _ENCODERS:
            return _ENCODERS[base]
    raise DataError(f"a {kind.__name__} cannot be sent to Postgres")


def _name_of(sql: bytes, kinds: Sequence[type[Any]]) -> bytes:
    """Return the name of a statement for values of certain types, the same in every session.

    A pooler that is taken for none may give a call another's session. Under a number, that could
    have another statement.
    """
    values = " ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return b"qcore_%08x_%d" % (crc32(sql, crc32(values.encode())), len(sql))


class _Plan:
    """A statement for values of certain types; a connection knows it by its name, if it has one."""

    def __init__(self, sql: str, kinds: Sequence[type[Any]], *, prepares: bool) -> None:
        self.is_prepared = False
        # without values a `%` is one
        self.sql, self.names = numbered(sql) if kinds else (sql.encode(), ())
        encoders = [_encoder_of(kind) for kind in kinds]
        self.types = [oid for oid, _, _ in encoders]
        self.name = _name_of(self.sql, kinds) if prepares else None
        self._formats = [form for _, form, _ in encoders]
        self._encoders = [encode for _, _, encode in encoders]
        self._transformer = Transformer()
        self._has_loaders = False

    def bind(self, values: Values) -> Parameters:
        """Return the values as they are sent."""
        return [
            encode(values[name]) for encode, name in zip(self._encoders, self.names, strict=True)
        ]

    def send(self, pgconn: PGconn, parameters: Parameters) -> None:
        if self.name is None:
            pgconn.send_query_params(self.sql, parameters, self.types, self._formats, Format.BINARY)
        else:
            pgconn.send_query_prepared(self.name, parameters, self._formats, Format.BINARY)

    def rows(self, result: PGresult) -> list[Row]:
        if result.status != ExecStatus.TUPLES_OK:
            return []
        self._transformer.set_pgresult(result, set_loaders=not self._has_loaders)
        self._has_loaders = self.is_prepared
        return self._transformer.load_rows(0, result.ntuples, tuple)


class ExtendedQuery:
    """Runs statements over a connection in autocommit, which nobody else uses meanwhile."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self.prepares = True
        """Whether statements with values are prepared."""
        self._plans: dict[tuple[str, tuple[type[object], ...]], _Plan] = {}

    def execute(self, sql: str, values: Values | None) -> Waiting:
        """Run a statement and return its rows; none where it has no result."""
        plan = self._plan(sql, values)
        if plan.name is not None and not plan.is_prepared:
            return (yield from self.pipeline([(sql, values or {})]))
        plan.send(self._pgconn, plan.bind(values or {}))
        (results,) = yield from _results(self._pgconn, 0)
        _check(results, 1)
        return plan.rows(results[0])

    def pipeline(self, statements: Sequence[Statement], behind: Statement | None = None) -> Waiting:
        """Run statements in one round trip, and return the rows of the last.

        `behind` is sent with them, and run when they are done: what becomes of it is not told.
        """
        parts = [statements] if behind is None else [statements, [behind]]
        # all of them before any is sent: what was sent is committed, whatever is raised here
        bound = [
            [(plan := self._plan(*each), plan.bind(each[1])) for each in part] for part in parts
        ]
        self._pgconn.enter_pipeline_mode()
        begun: set[_Plan] = set()
        sent = [self._send(part, begun) for part in bound]
        results = yield from _results(self._pgconn, len(parts))
        for preparing, found in zip(sent, results, strict=False):
            for each, result in zip(preparing, found, strict=False):
                if each is not None:
                    each.is_prepared = result.status == ExecStatus.COMMAND_OK
        _check(results[0], len(sent[0]))
        return bound[0][-1][0].rows(results[0][-1])

    def _send(
        self, bound: Sequence[tuple[_Plan, Parameters]], begun: set[_Plan]
    ) -> list[_Plan | None]:
        """Send statements and a sync; return what each of the results says to be prepared.

        `begun` has what the pipeline prepares already.
        """
        preparing: list[_Plan | None] = []
        for plan, parameters in bound:
            if plan.name is not None and not plan.is_prepared and plan not in begun:
                self._pgconn.send_prepare(plan.name, plan.sql, plan.types)
                preparing.append(plan)
                begun.add(plan)
            plan.send(self._pgconn, parameters)
            preparing.append(None)
        self._pgconn.pipeline_sync()
        return preparing

    def _plan(self, sql: str, values: Mapping[str, object] | None) -> _Plan:
        if not values:
            return _Plan(sql, (), prepares=False)
        kinds = (*[type(values[name]) for name in numbered(sql)[1]],)
        plan = self._plans.get((sql, kinds))
        if plan is None:
            plan = self._plans[sql, kinds] = _Plan(sql, kinds, prepares=self.prepares)
        return plan


def _results(pgconn: PGconn, syncs: int) -> Generator[Wait, Ready, list[list[PGresult]]]:
    """Flush what was sent, and return what came up to each sync, or until the connection was lost.

    Without syncs it was one statement alone.
    """
    results: list[list[PGresult]] = [[]]
    try:
        while pgconn.flush():
            if (yield Wait.RW) & Ready.R:
                pgconn.consume_input()
        yield from _receive(pgconn, results, syncs)
    except Error:
        # a server that ends a session may have said why before it was gone
        if len(results) == 1 and not any(map(_is_error, results[0])):
            raise
    return results


def _receive(
    pgconn: PGconn, results: list[list[PGresult]], syncs: int
) -> Generator[Wait, Ready, None]:
    """Append results as they come: until none is left, or the last sync."""
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if not syncs or pgconn.status != ConnStatus.OK:
                return
        elif result.status != ExecStatus.PIPELINE_SYNC:
            results[-1].append(result)
        elif len(results) < syncs:
            results.append([])
        else:
            pgconn.exit_pipeline_mode()
            return


def _check(results: Sequence[PGresult], number: int) -> None:
    """Raise the first error, or that there are fewer results than statements."""
    for result in results:
        if _is_error(result):
            raise error_from_result(result)
    if len(results) < number:
        raise OperationalError("the connection to the server is lost")


def _is_error(result: PGresult) -> bool:
    return result.status in {ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE}
