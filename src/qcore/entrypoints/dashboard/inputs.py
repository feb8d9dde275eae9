"""What a request brings, checked before use: each value has a type and a bound."""

import re
from collections.abc import Collection, Sequence
from math import nan
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from qcore.app.client.queries import MAX_QUERY, Query
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import MAX_ID, MAX_QUEUE
from qcore.domain.text import is_utf8, shown
from qcore.entrypoints.dashboard.refusals import BadQuery, BadRequest, TooLarge

MAX_BODY: Final = 262_144
"""Bytes of a form: arguments of a task are edited in one."""
MAX_FIELDS: Final = 1_100
"""Fields of a form: up to a thousand tasks are ticked."""
FORM: Final = "application/x-www-form-urlencoded"
MAX_CURSOR: Final = 2_000
MAX_DIGITS: Final = 15
_WHOLE: Final = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}")
MAX_MOMENT: Final = 30
MAX_NUMBER: Final = 40
_MOMENT: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


class Inputs:
    """The parameters of a query or the fields of a form.

    Each method raises `BadRequest` for a value that makes no sense, which it names.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, *, most: int, default: str | None = None) -> str:
        """Return a text of at most `most` characters; without a default it has to be there."""
        found = self.maybe(name, most=most)
        if found is not None:
            return found
        if default is None:
            raise BadRequest(f"{name} is missing: expected text")
        return default

    def maybe(self, name: str, *, most: int) -> str | None:
        """Return a text of at most `most` characters; None where it is not there, or empty."""
        values = [each for each in self._values.get(name, ()) if each]
        if len(values) > 1:
            raise BadRequest(f"{name} is given {len(values)} times: expected it once")
        return _checked(name, values[0], most) if values else None

    def several(self, name: str, *, most: int, number: int) -> Sequence[str]:
        """Return at most `number` texts."""
        values = self._values.get(name, [])
        if len(values) > number:
            raise BadRequest(f"{name} is given {len(values):,} times: expected at most {number:,}")
        return [_checked(name, each, most) for each in values]

    def whole(self, name: str, least: int, most: int, default: int) -> int:
        """Return a whole number from `least` to `most`."""
        text = self.maybe(name, most=MAX_DIGITS + 1)
        if text is None:
            return default
        if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise BadRequest(
                f"{name} is {shown(text)}: expected a whole number from {least:,} to {most:,}"
            )
        return int(text)

    def number(self, name: str, least: float, most: float) -> float | None:
        """Return a number from `least` to `most`; None where it is not there."""
        text = self.maybe(name, most=MAX_NUMBER)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = nan
        # which what is no number is not, either
        if not least <= number <= most:
            raise BadRequest(
                f"{name} is {shown(text)}: expected a number from {least:g} to {most:,g}"
            )
        return number

    def moment(self, name: str, default: Moment) -> Moment:
        """Return a moment in epoch seconds."""
        text = self.maybe(name, most=MAX_MOMENT)
        if text is None:
            return default
        if not _MOMENT.fullmatch(text) or float(text) > LAST_MOMENT:
            raise BadRequest(f"{name} is {shown(text)}: expected seconds since 1970")
        return float(text)

    def one_of(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """Return one of some texts."""
        text = self.text(name, most=MAX_QUEUE, default=default)
        if text not in choices:
            raise BadRequest(f"{name} is {shown(text)}: expected one of {', '.join(choices)}")
        return text

    def is_set(self, name: str) -> bool:
        """Return whether a box was ticked, or a button of that name pressed."""
        return self.maybe(name, most=MAX_QUEUE) is not None

    def queue(self) -> str:
        """Return the name of the queue that is asked for."""
        return self.text("queue", most=MAX_QUEUE)

    def task(self) -> str:
        """Return the id of the task that is asked for."""
        return self.text("id", most=MAX_ID)

    def query(self) -> Query:
        """Return the query for tasks in the field `q`; raise `BadQuery` where it is none."""
        text = self.text("q", most=MAX_QUERY, default="")
        try:
            return Query.parse(text.strip())
        except InvalidOption as error:
            raise BadQuery(str(error), text) from None

    def first(self, name: str) -> str | None:
        """Return the first value of a name, unchecked; None where there is none."""
        return next(iter(self._values.get(name, ())), None)

    def cursor(self) -> str | None:
        """Return where a page begins; whoever made it checks what it holds."""
        return self.maybe("cursor", most=MAX_CURSOR)


def query_of(request: Request) -> Inputs:
    """Return the parameters in the URL."""
    return Inputs(_pairs(request.scope.get("query_string", b"").decode("latin-1"), "the URL"))


async def body_of(request: Request) -> bytes:
    """Return what a request brings; raise `TooLarge` for a body that no form of ours has."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge(f"the form is too large: expected at most {MAX_BODY:,} bytes")
    return bytes(body)


def form_of(request: Request, body: bytes) -> Inputs:
    """Return the fields of a form."""
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if kind != FORM:
        raise BadRequest(f"the form is {shown(kind)}: expected {FORM}")
    return Inputs(_pairs(body.decode("latin-1"), "the form"))


def _pairs(text: str, what: str) -> Sequence[tuple[str, str]]:
    try:
        # a raw byte above 127 is taken for text in UTF-8, as what is percent-encoded is
        return parse_qsl(
            text.encode("latin-1").decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise BadRequest(
            f"{what} cannot be read: expected at most {MAX_FIELDS:,} fields in UTF-8"
        ) from None


def _checked(name: str, text: str, most: int) -> str:
    if len(text) > most or "\0" in text or not is_utf8(text):
        raise BadRequest(f"{name} is {shown(text)}: expected text of at most {most:,} characters")
    return text
