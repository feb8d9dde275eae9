"""`qcore config`: show each setting of a worker, and whence it comes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import click
from click.core import ParameterSource

from qcore.adapters.links.urls import without_password
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.hosted import hosted_queue
from qcore.entrypoints.cli.settings import (
    ConfiguredCommand,
    key_of,
    misspelt_variables,
    settings_of,
    source_of,
)
from qcore.entrypoints.cli.worker import worker
from qcore.entrypoints.connect import url_of_environment

KINDS: Final[Mapping[ParameterSource | None, str]] = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "project",
}
UNSET: Final = "-"


@record
class Setting:
    """A setting with its value, as it may be shown."""

    name: str
    value: Any
    kind: str
    """Of its source: flag, environment, project or default."""
    source: str


def _show(as_json: bool, **_: object) -> None:  # noqa: FBT001  (click calls it by name)
    ctx = click.get_current_context()
    found = [_setting(ctx, each) for each in settings_of(ctx.command)]
    warnings = list(misspelt_variables(ctx.command))
    if as_json:
        click.echo(json.dumps(as_record(found, warnings), indent=2))
        return
    for line in lines(found):
        click.echo(line)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


config = ConfiguredCommand(
    "config",
    params=[
        *worker.params,
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            allow_from_autoenv=False,
            help="Print one JSON object.",
        ),
    ],
    callback=_show,
    is_whole=True,
    help="Show each setting of a worker, and whence it comes: a flag, a variable, [tool.qcore] in "
    "pyproject.toml, or the default. Takes the arguments of `qcore worker`, and starts none. "
    "Passwords are not shown.",
)


def as_record(found: Sequence[Setting], warnings: Sequence[str]) -> Mapping[str, Any]:
    """Return settings as JSON has them."""
    return {
        "settings": [
            {"name": each.name, "value": each.value, "source": each.kind, "from": each.source}
            for each in found
        ],
        "warnings": list(warnings),
    }


def lines(found: Sequence[Setting]) -> Iterator[str]:
    """Yield settings as a person reads them: name, value, source."""
    rows = [(each.name, _text(each.value), each.source) for each in found]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        yield f"{name.ljust(widths[0])}  {value.ljust(widths[1])}  {source}"


def _setting(ctx: click.Context, parameter: click.Parameter) -> Setting:
    key, value = key_of(parameter), ctx.params[parameter.name or ""]
    if key == "url":
        value = _shown_url(value)
    elif key == "metrics_push" and value is not None:
        value = without_password(value)
    kind = KINDS.get(ctx.get_parameter_source(parameter.name or ""), "default")
    return Setting(key.replace("_", "-"), value, kind, source_of(ctx, parameter))


def _shown_url(url: str | None) -> str:
    """Return a URL, by default the one that `Qcore()` goes by, as it may be shown."""
    hosted = hosted_queue()
    if hosted is not None:
        return hosted.store
    try:
        url = url_of_environment() if url is None else url
    except InvalidOption as error:
        raise Wrong(str(error)) from None
    # options may be secrets too
    return without_password(url) + ("?…" if "?" in url else "")


def _text(value: Any) -> str:
    match value:
        case None | ():
            return UNSET
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case dict():
            weights = cast("dict[str, int]", value)
            return ",".join(f"{name}={weight}" for name, weight in weights.items())
        case list() | tuple():
            return ",".join(cast("Sequence[str]", value))
        case _:
            return str(value)
