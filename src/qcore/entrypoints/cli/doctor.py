"""`qcore doctor`: look a store over."""

import json
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from qcore.adapters.links.urls import without_password
from qcore.domain.diagnostics import GRADES, Finding, Grade, error
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable, InvalidOption
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.hosted import hosted_queue
from qcore.entrypoints.cli.output import terminal_width
from qcore.entrypoints.connect import DEFAULT_URL, URL_VARIABLE, connect, url_of_environment
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.ports import Broker

COLOURS: Final = {
    Grade.OK: "green",
    Grade.ADVICE: "cyan",
    Grade.WARNING: "yellow",
    Grade.ERROR: "red",
}
NARROWEST: Final = 60
WIDEST: Final = 120
FAILING: Final = {False: {Grade.ERROR}, True: {Grade.WARNING, Grade.ERROR}}
"""What makes the exit status 1: without --strict, and with it."""


@click.command()
@click.option(
    "--url",
    help=f"Where tasks wait. [default: {URL_VARIABLE}, else [tool.qcore], else {DEFAULT_URL}]",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for a warning, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(url: str | None, *, strict: bool, as_json: bool) -> None:
    """Look a store over: say what is well, what is not, and what to do about it.

    Leaves the store as it was. Exits with 1 if there is an error.
    """
    configure("error")
    try:
        where, broker = _store(url)
        found = run(_findings(broker))
    except InvalidOption as why:
        raise Wrong(str(why)) from None
    if as_json:
        click.echo(json.dumps(as_record(where, found), indent=2))
    else:
        for line in lines(where, found, _width()):
            # colours are taken out again where nobody reads along
            click.echo(line, color=False if os.environ.get("NO_COLOR") else None)
    if any(each.grade in FAILING[strict] for each in found):
        raise SystemExit(1)


def _store(url: str | None) -> tuple[str, Broker]:
    """Return what a store is called, and its broker."""
    hosted = hosted_queue()
    if hosted is not None and url is None:
        return hosted.store, hosted.broker
    url = url_of_environment() if url is None else url
    return without_password(url), connect(url)


async def _findings(broker: Broker) -> Sequence[Finding]:
    """Return the findings about a broker's store; why it cannot be used is a finding, too."""
    # imported when asked for: `qcore worker` shares this command line, and needs no doctor
    from qcore.doctor import diagnose

    try:
        return await diagnose(broker)
    except (BrokerUnavailable, BrokerUnusable, OSError) as why:
        # the operating system's: of a file that cannot even be looked for
        return [error("connection", str(why))]
    finally:
        await broker.close()


def as_record(where: str, found: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as JSON has them, with the worst of their grades."""
    return {
        "url": where,
        "grade": max((each.grade for each in found), key=GRADES.index, default=Grade.OK),
        "findings": [
            {
                "grade": each.grade,
                "about": each.about,
                "found": each.found,
                "to_do": each.to_do,
            }
            for each in found
        ],
    }


def lines(where: str, found: Sequence[Finding], width: int | None) -> Iterator[str]:
    """Yield findings as a person reads them, wrapped at `width` unless it is None."""
    yield f"{where}: {_summary(found)}"
    grades = max((len(each.grade) for each in found), default=0)
    matters = max((len(each.about) for each in found), default=0)
    margin = " " * (2 + grades + 2 + matters + 2)
    for each in found:
        grade = click.style(each.grade.ljust(grades), fg=COLOURS[each.grade])
        first, *rest = _wrapped(each.found, width, margin)
        yield f"  {grade}  {each.about.ljust(matters)}  {first}"
        yield from (f"{margin}{line}" for line in rest)
        if each.to_do:
            first, *rest = _wrapped(each.to_do, width, f"{margin}  ")
            yield f"{margin}→ {first}"
            yield from (f"{margin}  {line}" for line in rest)


def _summary(found: Sequence[Finding]) -> str:
    """Return how many findings there are of each grade that is not well, the worst first."""
    numbers = Counter(each.grade for each in found)
    names = {Grade.ADVICE: "to improve", Grade.WARNING: "to mend", Grade.ERROR: "broken"}
    told = [f"{numbers[grade]} {names[grade]}" for grade in GRADES[:0:-1] if numbers[grade]]
    return ", ".join(told) or "all is well"


def _wrapped(text: str, width: int | None, margin: str) -> list[str]:
    """Return a text in lines that leave room for a margin; on one line where nobody reads along."""
    if width is None:
        return [text]
    room = max(NARROWEST, width) - len(margin)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _width() -> int | None:
    """Return the width of the terminal, None where there is none."""
    return min(WIDEST, terminal_width()) if sys.stdout.isatty() else None
