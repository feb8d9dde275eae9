"""Applications that a function makes, which configures their queue."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.entrypoints.cli_kit import invoke, lines_of, working_in, write

TASKS = """
from qcore import Context, Qcore

q = Qcore.later()


@q.task("greet")
def greet(ctx: Context, whom: str) -> None:
    ctx.log.info(f"hello {whom}")


@q.task("compute", process=True)
def compute(ctx: Context) -> None:
    ctx.then(greet.call("from a process"))
"""
FACTORY = """
from shop.tasks import q


class App:
    pass


def create_app():
    q.configure("sqlite:///shop.db")
    return App()


def create_q():
    create_app()
    return q


def create_for(tenant):
    raise AssertionError


def break_down():
    raise LookupError("no settings")


def create_nothing():
    from shop.other import app
    return app


async def create_later():
    raise AssertionError
"""
OTHER = """
from qcore import Qcore

jobs, mails = Qcore("memory://"), Qcore("memory://")
app = object()


def create_app():
    return app
"""
WSGI = """
from shop.factory import create_app

app = create_app()
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with an application whose factory configures the queue."""
    for name, text in {"tasks": TASKS, "factory": FACTORY, "other": OTHER, "wsgi": WSGI}.items():
        write(tmp_path, f"shop.{name}", text)
    with working_in(tmp_path, monkeypatch):
        yield tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop.factory:create_q",),
        ("shop.factory:create_app",),
        ("shop.tasks:q", "--import", "shop.wsgi"),
        ("shop.wsgi:create_app",),
    ],
    ids=str,
)
def test_a_worker_serves_the_queue_that_a_factory_configures(
    home: Path, arguments: tuple[str, ...]
) -> None:
    """It is what the function returns, or what its module holds, or what a module configures."""
    done = invoke("worker", *arguments, "--burst")
    assert done.exit_code == 0, done.stderr
    [started] = [line for line in lines_of(done) if line["event"] == "worker started"]
    assert started["broker"] == "sqlite:///shop.db"
    assert (home / "shop.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [("shop.factory:create_app",), ("shop.tasks:q", "--import", "shop.wsgi")],
    ids=str,
)
def test_a_handler_in_a_process_has_the_queue_configured_as_its_worker_has(
    arguments: tuple[str, ...],
) -> None:
    """A follow-up needs the serializer and the limits of the queue."""
    url = ("--url", "sqlite:///shop.db")
    assert invoke("enqueue", "compute", *url).exit_code == 0
    done = invoke("worker", *arguments, "--burst")
    assert done.exit_code == 0, done.stderr
    assert "hello from a process" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shop.tasks:q",), "shop.tasks:q is not configured yet: name the function that makes"),
        (
            ("shop.factory:create_for",),
            (
                "shop.factory:create_for cannot be called without arguments: missing a required "
                "argument: 'tenant'"
            ),
        ),
        (
            ("shop.factory:break_down",),
            "cannot call shop.factory:break_down: LookupError: no settings",
        ),
        (
            ("shop.factory:create_nothing",),
            (
                "shop.factory:create_nothing returned a object, and its module holds no Qcore "
                "that is configured: have it return its Qcore"
            ),
        ),
        (
            ("shop.other:create_app",),
            (
                "shop.other:create_app returned a object, and its module holds 2 Qcores that are "
                "configured"
            ),
        ),
        (
            ("shop.factory:create_later",),
            "shop.factory:create_later is a coroutine function: expected a plain one",
        ),
        (("shop.factory:App",), "shop.factory:App is a type, no Qcore"),
        (
            ("shop.factory:create_q", "--url", "sqlite:///else.db"),
            "says itself where its tasks wait, sqlite:///shop.db",
        ),
    ],
    ids=str,
)
def test_what_leads_to_no_configured_queue_is_one_line(
    arguments: tuple[str, ...], said: str
) -> None:
    """It says what to do."""
    done = invoke("worker", *arguments, "--burst")
    assert done.exit_code == 2
    assert said in done.stderr.splitlines()[-1]
