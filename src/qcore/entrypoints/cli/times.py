"""Durations and moments as options take them: as the terms of a query do."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from qcore.app.client.qualifiers import DURATION, Unfit, moment_in, seconds_in

if TYPE_CHECKING:
    _ParamType: TypeAlias = click.ParamType[Any]
else:
    # older versions of click cannot be asked for the type of the value
    _ParamType = click.ParamType

NONE: Final = "none"
"""What takes a value away."""
EXPECTED: Final = f"expected such as {DURATION}"


class Seconds(_ParamType):
    """A duration such as 1d12h; its value is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return it in seconds; fail for what is none."""
        seconds = value if isinstance(value, float) else seconds_in(str(value))
        if seconds is None:
            self.fail(f"{value!r}: {EXPECTED}", param, ctx)
        return seconds


class OrNone(_ParamType):
    """A value of another type, or the word none, which is left as it is."""

    def __init__(self, inner: _ParamType) -> None:
        self._inner = inner
        self.name = inner.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the other type's value, or "none"."""
        return value if value == NONE else self._inner.convert(value, param, ctx)


class Instant(_ParamType):
    """A moment with its zone, such as 2026-11-30T08:00Z; its value is an aware datetime."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return it in UTC; fail for what is none."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromtimestamp(moment_in(str(value)), UTC)
        except Unfit as error:
            self.fail(f"{value!r}: expected {error}", param, ctx)
