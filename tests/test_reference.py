"""The tables of the documents hold what the code declares: every name with its default, no other.

A row that is missing fails, and so does one whose name is gone from the code. Names are taken from
where the code declares them, so that there is no second list to keep.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, get_args

import attrs
import click
import pytest

import qcore.errors
from qcore import Inspector, NewTask, Qcore, WorkerSettings
from qcore.adapters.instruments import metric_catalogue
from qcore.adapters.links.postgres.address import OPTIONS as POSTGRES_OPTIONS
from qcore.adapters.links.postgres.address import Address as PostgresAddress
from qcore.adapters.links.redis.address import Address
from qcore.adapters.links.redis.url_options import UrlOption, option_of
from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.app.tasks.aggregators import AggregationTiming
from qcore.domain.record import record
from qcore.entrypoints.cli.group import COMMANDS
from qcore.entrypoints.cli.group import qcore as commands
from qcore.entrypoints.connect import MAKERS, SQLITE_OPTIONS
from qcore.events import Event
from qcore.middleware import CircuitBreaker, log_runs, timeouts
from qcore.periodic import Entry, EntryOptions
from qcore.ports import (
    Aggregating,
    Broker,
    Capability,
    ClaimEndings,
    Clock,
    Diagnosable,
    Limiting,
    Periodic,
    Recording,
    Serializer,
    Timekeeper,
    WorkerRegistry,
)
from qcore.serializers import SignedSerializer
from qcore.types import AggregationOptions, Changes, Handle, Options, WorkerOptions

DOCS: Final = Path(__file__).parents[1] / "docs"
WORDED: Final = None
"""A default that its row says in words, or that there is none."""
AS_A_WORKER: Final = {"config": "worker"}
"""A command that has the options of another one, too, which its own page need not list again."""
PER_MACHINE: Final = {"worker": {"--process-pool": WORDED}}
"""Options of commands whose default is another on each machine."""

METRICS: Final = {
    "## What is counted": metric_catalogue.COUNTED,
    "## How busy workers are": metric_catalogue.LOADS,
    "## What the store says": metric_catalogue.STORED,
}
"""The tables of the page of metrics."""

BROKERS: Final = [
    Broker,
    Limiting,
    Aggregating,
    Periodic,
    Recording,
    WorkerRegistry,
    Timekeeper,
    ClaimEndings,
    Diagnosable,
]
"""What a broker is, and what it may be besides."""


@record
class Table:
    """The first table below a text of a page, and the names that its rows must begin with."""

    page: str
    below: str
    declared: Mapping[str, object]
    """Name to default."""

    def rows(self) -> dict[str, list[str]]:
        """Return the cells of each row by the names in code marks that it begins with."""
        text = (DOCS / self.page).read_text(encoding="utf-8")
        lines = text[text.index(self.below) :].splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith("|"))
        found: dict[str, list[str]] = {}
        for line in takewhile(lambda line: line.startswith("|"), lines[start + 2 :]):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found |= dict.fromkeys(re.findall(r"`([\w.+-]+)", cells[0]), cells)
        return found


def parameters(function: Callable[..., Any], *without: str) -> dict[str, object]:
    """Return the parameters of a function with their defaults."""
    declared = inspect.signature(function).parameters.values()
    return {
        each.name: WORDED if each.default is each.empty else each.default
        for each in declared
        if each.name not in {"self", *without}
    }


def defaults(kind: type, names: Collection[str]) -> dict[str, object]:
    """Return the names with the defaults that attrs fields of the same name have."""
    fields = attrs.fields_dict(kind)
    return {name: fields[name].default if name in fields else WORDED for name in names}


def members_of(*ports: type) -> dict[str, object]:
    """Return what protocols ask for."""
    return {name: WORDED for port in ports for name in dir(port) if not name.startswith("_")}


def url_options(choose: Callable[[UrlOption], bool]) -> dict[str, object]:
    """Return options of a Redis URL with their defaults, those that may be chosen."""
    declared = {each: option_of(each) for each in attrs.fields(Address)}
    return {each.name: each.default for each, found in declared.items() if found and choose(found)}


def made(command: str) -> click.Command:
    """Return a command by its name."""
    found = commands.get_command(click.Context(commands), command)
    assert found is not None
    return found


def verbs_of(command: str) -> Mapping[str, click.Command]:
    """Return the commands of one that is a noun, such as `qcore tasks`; none of any other."""
    group = made(command)
    return group.commands if isinstance(group, click.Group) else {}


def options_of_verbs(command: str) -> dict[str, object]:
    """Return the options of all commands of a noun; where defaults differ, the row says it."""
    found: dict[str, object] = {}
    for verb in verbs_of(command).values():
        for name, default in declared_by(verb).items():
            found[name] = default if found.get(name, default) == default else WORDED
    return found


def options_of(command: str) -> dict[str, object]:
    """Return the options of a command with their defaults."""
    listed = declared_by(made(command)) | PER_MACHINE.get(command, {})
    elsewhere = options_of(AS_A_WORKER[command]) if command in AS_A_WORKER else {}
    return {name: default for name, default in listed.items() if name not in elsewhere}


def declared_by(command: click.Command) -> dict[str, object]:
    """Return the options that a command declares, with those defaults that are values."""
    found = [each for each in command.params if isinstance(each, click.Option)]
    declared = {each.opts[0]: each.default for each in found if not (each.is_flag or each.envvar)}
    return {each.opts[0]: WORDED for each in found} | declared


TABLES: Final = [
    Table(
        "reference/options.md", "# Options of a task", defaults(NewTask, Options.__annotations__)
    ),
    Table(
        "reference/options.md",
        "## Options of a periodic task",
        defaults(Entry, EntryOptions.__annotations__),
    ),
    Table(
        "how-to/run-tasks-periodically.md",
        "| option | default",
        dict.fromkeys(EntryOptions.__annotations__),
    ),
    Table("reference/options.md", "What only a handler has", parameters(Qcore.task, "options")),
    Table(
        "reference/worker-settings.md",
        "# Settings of a worker",
        defaults(WorkerSettings, WorkerOptions.__annotations__) | {"process_pool": WORDED},
    ),
    Table("reference/worker-settings.md", "## `Qcore`", parameters(Qcore.__init__)),
    Table("reference/errors.md", "# Errors", dict.fromkeys(qcore.errors.__all__)),
    Table("reference/events.md", "# Events", {each.__name__: WORDED for each in get_args(Event)}),
    *(
        Table("reference/metrics.md", below, {each.name: WORDED for each in metrics})
        for below, metrics in METRICS.items()
    ),
    Table("reference/ports.md", "## What each member does", members_of(*BROKERS)),
    Table("reference/ports.md", "## Capabilities", dict.fromkeys(Capability.__members__)),
    Table("reference/ports.md", "## Clock", members_of(Clock)),
    Table("reference/ports.md", "## Serializer", members_of(Serializer)),
    Table("reference/cli.md", "# Command line", dict.fromkeys(COMMANDS)),
    *(
        Table("reference/cli.md", f"## `qcore {command}", options_of(command))
        for command in COMMANDS
        if not verbs_of(command)
    ),
    *(
        Table("reference/cli.md", f"## `qcore {noun}`", dict.fromkeys(verbs_of(noun)))
        for noun in COMMANDS
        if verbs_of(noun)
    ),
    *(
        Table("reference/cli.md", f"### Options of `qcore {noun}`", options_of_verbs(noun))
        for noun in COMMANDS
        if verbs_of(noun)
    ),
    Table("reference/urls.md", "# URLs", dict.fromkeys(MAKERS)),
    Table(
        "reference/urls.md",
        "## Options of `sqlite`",
        {
            name: inspect.signature(AsyncSqliteLink).parameters[name].default
            for name in SQLITE_OPTIONS
        },
    ),
    Table(
        "reference/urls.md",
        "## Options of `redis`",
        url_options(lambda each: each.is_general or each.kind == "unix"),
    ),
    Table("reference/urls.md", "With TLS:", url_options(lambda each: each.tls)),
    Table(
        "reference/urls.md", "With Sentinels:", url_options(lambda each: each.kind == "sentinel")
    ),
    Table(
        "reference/urls.md",
        "## Options of `postgresql`",
        {name: attrs.fields_dict(PostgresAddress)[name].default for name in POSTGRES_OPTIONS},
    ),
    Table("reference/middleware.md", "## `CircuitBreaker`", parameters(CircuitBreaker)),
    Table("reference/middleware.md", "## `timeouts`", parameters(timeouts)),
    Table("reference/middleware.md", "## `log_runs`", parameters(log_runs)),
    Table("reference/seals.md", "| argument", parameters(SignedSerializer)),
    Table(
        "how-to/aggregate-tasks.md",
        "## When a group is ready",
        defaults(AggregationTiming, AggregationOptions.__annotations__),
    ),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.page}: {table.below}")
def test_a_table_has_the_names_that_the_code_declares(table: Table) -> None:
    """A name that the code has has a row; a row whose name the code does not have is stale."""
    assert sorted(table.rows()) == sorted(table.declared)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.page}: {table.below}")
def test_a_default_on_a_page_is_the_one_in_the_code(table: Table) -> None:
    """Numbers and text, which the second column shows; of other defaults it tells in words."""
    rows = table.rows()
    for name, default in table.declared.items():
        if type(default) in {int, float, str} and default != "":
            forms = {f"`{default}`", f'`"{default}"`'}
            if not isinstance(default, str):
                forms = {f"{default:g}", f"{default}", f"{default:,}"}
            assert rows[name][1] in forms, name


@pytest.mark.parametrize("event", get_args(Event), ids=lambda event: event.__name__)
def test_an_event_is_shown_with_its_fields(event: type) -> None:
    """An instrument's author need not read the code to know what there is to read."""
    [table] = [each for each in TABLES if each.page == "reference/events.md"]
    _, fields, _ = table.rows()[event.__name__]
    assert re.findall(r"`(\w+)`", fields) == list(attrs.fields_dict(event))


@pytest.mark.parametrize("below", METRICS)
def test_a_metric_is_shown_with_its_type_unit_and_labels(below: str) -> None:
    """Whoever writes a query need not scrape first."""
    rows = Table("reference/metrics.md", below, {}).rows()
    for metric in METRICS[below]:
        _, kind, unit, labels, _ = rows[metric.name]
        assert (kind, unit) == (metric.kind, metric.unit or "–")
        assert tuple(re.findall(r"`(\w+)`", labels)) == metric.labels


@pytest.mark.parametrize(
    ("page", "begin", "end"),
    [
        ("reference/options.md", "What of a stored task may be changed", "and its arguments"),
        ("how-to/change-a-task.md", "`update` takes", "as they are given"),
    ],
)
def test_what_update_takes_is_listed(page: str, begin: str, end: str) -> None:
    """All that may be changed of a stored task, and no more."""
    text = (DOCS / page).read_text(encoding="utf-8")
    [listed] = re.findall(f"{re.escape(begin)}(.*?){re.escape(end)}", text, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == set(Changes.__annotations__)


@pytest.mark.parametrize(
    ("page", "below", "owner"),
    [
        ("how-to/change-a-task.md", "# Change a task", Handle),
        ("how-to/change-a-task.md", "## Many at once", Inspector),
        ("how-to/monitor.md", "## Look and act", Inspector),
        ("reference/worker-settings.md", "| method", Qcore("memory://").worker()),
    ],
)
def test_a_method_that_a_table_names_is_there(page: str, below: str, owner: object) -> None:
    """A method that was renamed is renamed on the page too."""
    named = Table(page, below, {}).rows()
    assert named
    assert [name for name in named if not hasattr(owner, name)] == []
