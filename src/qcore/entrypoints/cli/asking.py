"""What commands have in common that ask a store, or give it orders, through an inspector."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from qcore.adapters.clocks import SystemClock
from qcore.adapters.links.urls import without_password
from qcore.app.client.inspector import Inspector
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable, InvalidOption
from qcore.entrypoints.cli.errors import NotFound, Unreachable, Wrong
from qcore.entrypoints.connect import DEFAULT_URL, URL_VARIABLE, connect, url_of_environment
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.ports import Broker, Clock, timekeeper_of

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any] | click.Command)

SQLITE: Final = "sqlite:"


def url_option(command: C) -> C:
    """Add the option --url."""
    text = f"Where tasks wait. [default: {URL_VARIABLE}, else [tool.qcore], else {DEFAULT_URL}]"
    return click.option("--url", help=text)(command)


def json_option(command: C) -> C:
    """Add the option --json, the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def ask(url: str | None, call: Callable[[Inspector, Clock], Awaitable[T]]) -> T:
    """Return what a call answers that is given an inspector of the store, and the store's clock.

    Raises `Wrong` for a URL or a value that makes no sense, `NotFound` where a file is not there,
    and `Unreachable` where the store does not serve.
    """
    configure("error")
    try:
        url = url_of_environment() if url is None else url
        broker = connect(url)
        _refuse_missing_file(url, broker)
        return run(_answer(broker, call))
    except InvalidOption as error:
        raise Wrong(str(error)) from None
    except (BrokerUnavailable, BrokerUnusable, OSError) as error:
        raise Unreachable(str(error)) from None


async def _answer(broker: Broker, call: Callable[[Inspector, Clock], Awaitable[T]]) -> T:
    timekeeper = timekeeper_of(broker)
    clock = SystemClock() if timekeeper is None else SystemClock(time=timekeeper.time)
    try:
        return await call(Inspector(broker, clock=clock), clock)
    finally:
        await broker.close()


def _refuse_missing_file(url: str, broker: Broker) -> None:
    """Raise `NotFound` for a file that is not there: to look is not to make it."""
    if not url.lower().startswith(SQLITE):
        return
    from qcore.adapters.sqlite import SqliteBroker

    if isinstance(broker, SqliteBroker) and not Path(broker.link.path).exists():
        raise NotFound(
            f"{without_password(url)}: there is no such file; it is made when it is first used"
        )
