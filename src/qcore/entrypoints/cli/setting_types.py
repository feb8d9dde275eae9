"""What settings may be, whether they are text of a flag or a variable, or a value of TOML."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

import click

from qcore.app.worker.settings import WorkerSettings
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.entrypoints.cli.queue_weights import parse_queues
from qcore.entrypoints.connect import connect

if TYPE_CHECKING:
    _ParamType: TypeAlias = click.ParamType[Any]
else:
    # older versions of click cannot be asked for the type of the value
    _ParamType = click.ParamType


class Number(_ParamType):
    """A number of `WorkerSettings`, which says itself what it may be."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.name = kind.__name__
        self._kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Return the number, checked as the field that has the parameter's name."""
        if isinstance(value, str):
            with suppress(ValueError):
                value = self._kind(value)
        field: dict[str, Any] = {str(param.name): value} if param else {}
        try:
            WorkerSettings(**field)
        except QcoreError as error:
            self.fail(str(error), param, ctx)
        return value


class Queues(_ParamType):
    """Queues: `critical=6,default=3`, plain names, or a table or a list of TOML."""

    name = "queues"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, int] | Sequence[str]:
        """Return queue to weight, or queues in order."""
        try:
            queues = parse_queues(value) if isinstance(value, str) else value
            if not queues or not isinstance(queues, dict | list):
                raise InvalidOption(
                    f"queues is {value!r}: expected names with weights, or a list of names"
                )
            checked = cast("Mapping[str, int] | Sequence[str]", queues)
            return WorkerSettings(queues=checked).queues or {}
        except QcoreError as error:
            self.fail(_named("queues", value, str(error)), param, ctx)


class Url(_ParamType):
    """The URL of a store; nothing is opened."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URL if it names a broker."""
        if not isinstance(value, str) or not value:
            self.fail(f"url is {value!r}: expected a URL", param, ctx)
        try:
            connect(value)
        except InvalidOption as error:
            self.fail(str(error), param, ctx)
        return value


class Text(_ParamType):
    """A text; of several in one variable, commas or blanks stand between."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is."""
        return value if isinstance(value, str) else self._refuse(value, param, ctx)

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the texts of one that holds several."""
        return re.findall(r"[^\s,]+", rv)

    def _refuse(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> NoReturn:
        self.fail(f"it is {value!r}: expected text", param, ctx)


def _named(key: str, value: object, said: str) -> str:
    return said if said.startswith(f"{key} ") else f"{key} is {value!r}: {said}"
