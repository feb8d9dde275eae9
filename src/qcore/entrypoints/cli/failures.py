"""`qcore errors`: failed tasks by cause. The errors that commands raise are in `errors`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from qcore.app.client.failure_groups import (
    DEFAULT_FAILED,
    DEFAULT_GROUPS,
    FailureGroup,
    FailureReport,
)
from qcore.domain.moments import Moment
from qcore.entrypoints.cli.asking import (
    Store,
    app_option,
    ask,
    json_option,
    url_option,
)
from qcore.entrypoints.cli.completion_values import query_term
from qcore.entrypoints.cli.listing_options import limit_option, look_option
from qcore.entrypoints.cli.output import cell, is_terminal, print_json, print_table
from qcore.entrypoints.written_times import duration, timestamp

TITLES: Final = ("TASKS", "FIRST", "LAST", "NAME", "ERROR", "FINGERPRINT")
VERSIONS: Final = "VERSIONS"
"""A column of a terminal's table where a version is known; a pipe always has it, as the last."""


@click.command()
@click.argument("query", nargs=-1, shell_complete=query_term)
@app_option
@url_option
@limit_option(DEFAULT_GROUPS, "Show so many groups, the largest.")
@look_option(DEFAULT_FAILED, "Look at so many failed tasks, at most.")
@json_option
def errors(
    query: tuple[str, ...],
    app: str | None,
    url: str | None,
    limit: int,
    look: int,
    *,
    as_json: bool,
) -> None:
    """Show the failed tasks of QUERY, or all, by name and by what their errors have in common.

    A group's tasks are those of the query 'state:retry,archived,dead fingerprint:…', which
    `qcore tasks` takes.
    """

    async def call(store: Store) -> tuple[FailureReport, Moment]:
        report = await store.inspector.failures(" ".join(query), limit=limit, look=look)
        return report, store.now()

    report, now = ask(url, call, app=app)
    if as_json:
        groups = [group_record(each) for each in report.groups]
        print_json({"groups": groups, "looked": report.looked, "complete": report.is_complete})
        return
    if is_terminal() and report.groups:
        _print_groups(report.groups, now)
    elif not is_terminal():
        print_table((), [plain_row(each) for each in report.groups])
    if not report.is_complete:
        click.echo(f"{report.looked:,} failed tasks were looked at; there are more", err=True)


def group_record(group: FailureGroup) -> Mapping[str, Any]:
    """Return a group as JSON has it."""
    return {
        "name": group.name,
        "message": group.message,
        "count": group.count,
        "first": timestamp(group.first),
        "last": timestamp(group.last),
        "trend": [*group.trend],
        "fingerprint": group.fingerprint,
        "query": str(group.query),
        "versions": [*group.versions],
        "examples": [{"queue": task.queue, "id": task.id} for task in group.examples],
    }


def _print_groups(groups: Sequence[FailureGroup], now: Moment) -> None:
    rows = [_row(each, now) for each in groups]
    if any(each.versions for each in groups):
        shown = [(*row, versions_of(each)) for row, each in zip(rows, groups, strict=True)]
        print_table((*TITLES, VERSIONS), shown)
    else:
        print_table(TITLES, rows)


def versions_of(group: FailureGroup) -> str:
    """Return the versions of a group as a cell: one, or the first and the last."""
    return cell(" – ".join(group.versions))


def _row(group: FailureGroup, now: Moment) -> Sequence[str]:
    ago = [f"{duration(now - moment)} ago" for moment in (group.first, group.last)]
    count = click.style(f"{group.count:,}", fg="red")
    return count, *ago, cell(group.name), cell(group.message), group.fingerprint


def plain_row(group: FailureGroup) -> Sequence[str]:
    """Return a group as cells for a program."""
    times = timestamp(group.first), timestamp(group.last)
    what = cell(group.name), cell(group.message), group.fingerprint
    return str(group.count), *times, *what, versions_of(group) or "-"
