"""What commands have in common that ask a store, or give it orders, through an inspector."""

import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from qcore.adapters.clocks import SystemClock
from qcore.adapters.links.urls import without_password
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.codec import Codec
from qcore.app.client.auditing import Emit
from qcore.app.client.client import Client
from qcore.app.client.entries import Entries
from qcore.app.client.inspector import Inspector
from qcore.app.client.qualifiers import DURATION
from qcore.app.client.task_listing import payload_reader
from qcore.domain.errors import (
    BrokerUnavailable,
    BrokerUnusable,
    InvalidOption,
    InvalidTask,
    QcoreError,
)
from qcore.domain.moments import Moment
from qcore.domain.task import Task
from qcore.entrypoints.cli.audit_line import print_operated
from qcore.entrypoints.cli.errors import NotFound, Unreachable, Unwell, Wrong
from qcore.entrypoints.cli.hosted import hosted_queue
from qcore.entrypoints.cli.output import cell
from qcore.entrypoints.cli.times import Seconds
from qcore.entrypoints.connect import DEFAULT_URL, URL_VARIABLE, connect, url_of_environment
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.ports import Broker, Clock, timekeeper_of

if TYPE_CHECKING:
    from qcore.entrypoints.facade import Qcore

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any] | click.Command)

SQLITE: Final = "sqlite:"
SEALED: Final = "; sealed="
"""In the content type of what is sealed, before how."""
AT_LEAST_ONE: Final = click.IntRange(min=1)
"""The type of an option that bounds what is listed, looked at or moved."""


def url_option(command: C) -> C:
    """Add the option --url."""
    text = f"Where tasks wait. [default: {URL_VARIABLE}, else [tool.qcore], else {DEFAULT_URL}]"
    return click.option("--url", help=text)(command)


def longest_option(command: C) -> C:
    """Add the option --for, the parameter `longest`."""
    text = f"End after so long, such as {DURATION}. [default: never]"
    return click.option("--for", "longest", type=Seconds(), metavar="TIME", help=text)(command)


def json_option(command: C) -> C:
    """Add the option --json, the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def app_option(command: C) -> C:
    """Add the option --app."""
    text = "Whose handlers and serializer are asked; its store is the default then."
    return click.option("--app", metavar="MODULE:NAME", help=text)(command)


class Store:
    """What a command asks, or gives orders to: a broker, and all that an application has of it.

    Without an application, arguments of tasks are read as JSON or MessagePack; sealed ones are not
    read.
    """

    def __init__(
        self,
        url: str,
        broker: Broker,
        app: "Qcore | None" = None,
        *,
        clock: Clock | None = None,
        emit: Emit | None = None,
    ) -> None:
        self.url = without_password(url)
        """As it may be shown."""
        self.broker = broker
        self.app = app
        own = clock or _clock_of(broker)
        self.clock = own if app is None else app.clock
        plain = Codec([JsonSerializer(), MessagePackSerializer()])
        self.codec = plain if app is None else app.codec
        self.unread: set[str] = set()
        """Content types of arguments that a query has asked for, and that could not be read."""
        self._read = payload_reader(self.codec)
        self.inspector = Inspector(
            broker, clock=self.clock, codec=self.codec, read_payload=self._arguments, emit=emit
        )
        # the application's own bounds the size of what is enqueued
        self.client = Client(broker, clock=self.clock, codec=plain) if app is None else app.client
        self.entries = Entries(self.client, emit=emit)

    def now(self) -> Moment:
        """Return the time that the store goes by, once it has been asked for anything."""
        return self.clock.now()

    def _arguments(self, task: Task) -> object:
        """Return the arguments of a task; note where they cannot be read, and return bytes."""
        data = self._read(task)
        if data is task.spec.payload:
            self.unread.add(task.spec.content_type)
        return data


def _clock_of(broker: Broker) -> Clock:
    timekeeper = timekeeper_of(broker)
    return SystemClock() if timekeeper is None else SystemClock(time=timekeeper.time)


def ask(
    url: str | None,
    call: Callable[[Store], Awaitable[T]],
    *,
    may_make_file: bool = False,
    app: str | None = None,
) -> T:
    """Return what a call answers that is given a store: of a URL, else of an application.

    Raises `Wrong` for a URL or a value that makes no sense, `NotFound` where a file is not there
    and is not to be made, `Unreachable` where the store does not serve, and `Unwell` for what else
    is refused.
    """
    configure("error")
    try:
        with _store(url, app) as store:
            if not may_make_file:
                refuse_missing_file(store.url, store.broker)
            return run(_answer(store, call))
    except (InvalidOption, InvalidTask) as error:
        raise Wrong(str(error)) from None
    except (BrokerUnavailable, BrokerUnusable, OSError) as error:
        raise Unreachable(str(error)) from None
    except QcoreError as error:
        raise Unwell(str(error)) from None


async def _answer(store: Store, call: Callable[[Store], Awaitable[T]]) -> T:
    try:
        return await call(store)
    finally:
        await store.client.close()
        _tell_unread(store)


def _tell_unread(store: Store) -> None:
    """Say that a query may have missed tasks whose arguments cannot be read here."""
    if store.unread:
        keys = "name who has the keys with --app MODULE:NAME"
        is_locked = store.app is None and any(SEALED in each for each in store.unread)
        advice = f": {keys}" if is_locked else ""
        kinds = cell(", ".join(sorted(store.unread)))
        click.echo(f"some arguments cannot be read here ({kinds}){advice}", err=True)


@contextmanager
def _store(url: str | None, app: str | None) -> Generator[Store]:
    hosted = hosted_queue()
    if app is None and hosted is None:
        url = url_of_environment() if url is None else url
        yield Store(url, connect(url), emit=print_operated)
        return
    q = hosted if app is None and hosted is not None else _loaded(app or "")
    with nullcontext() if url is None else q.swapped(url):
        yield Store(q.store, q.broker, q, emit=print_operated)


def _loaded(app: str) -> "Qcore":
    # late, as it brings the worker
    from qcore.entrypoints.cli.loading import load

    # what a module prints is no part of the answer
    with redirect_stdout(sys.stderr):
        return load(app, source="--app")


def refuse_missing_file(url: str, broker: Broker) -> None:
    """Raise `NotFound` for a file that is not there: to look is not to make it."""
    if not url.lower().startswith(SQLITE):
        return
    from qcore.adapters.sqlite import SqliteBroker

    if isinstance(broker, SqliteBroker) and not Path(broker.link.path).exists():
        raise NotFound(
            f"{without_password(url)}: there is no such file; it is made when it is first used"
        )
