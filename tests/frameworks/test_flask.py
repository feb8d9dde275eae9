"""Handlers in contexts of a Flask application."""

import asyncio
import sys
import threading
from types import ModuleType
from typing import Any

import pytest
from flask import Flask, current_app, g, has_app_context, request
from flask.testing import FlaskClient

from qcore import Context, InvalidOption, Qcore
from qcore.entrypoints.cli.loading import load
from qcore.flask import FlaskQcore, load_app
from qcore.testing import ManualClock, drain_sync


@pytest.fixture
def q() -> Qcore:
    """Return a queue in memory."""
    return Qcore("memory://", clock=ManualClock(), instruments=[])


def test_each_run_has_an_application_context_of_its_own_in_its_thread(q: Qcore) -> None:
    """What one leaves in `g` the next does not find, and teardown functions are called there."""
    app = Flask("shop")
    FlaskQcore(q, app)
    seen: list[tuple[str, str, int]] = []
    torn_down: list[tuple[int, str]] = []

    @app.teardown_appcontext
    def tear_down(error: BaseException | None) -> None:
        torn_down.append((threading.get_ident(), repr(error)))

    @q.task("look", max_retry=0)
    def look(ctx: Context, *, fails: bool = False) -> None:
        seen.append((current_app.name, g.get("left", "nothing"), threading.get_ident()))
        g.left = "something"
        if fails:
            raise ValueError("no")

    look.enqueue_sync()
    look.enqueue_sync(fails=True)
    drain_sync(q)
    assert [(name, left) for name, left, _ in seen] == [("shop", "nothing")] * 2
    assert torn_down == [(seen[0][2], "None"), (seen[1][2], "ValueError('no')")]
    assert threading.get_ident() not in {thread for _, _, thread in seen}
    assert not has_app_context()


def test_coroutines_that_run_at_a_time_do_not_share_a_context(q: Qcore) -> None:
    """Nor do they have that of the command line, in which a worker of Flask is started."""
    app = Flask("shop")
    FlaskQcore(q, app)
    meeting = asyncio.Barrier(2)
    seen: list[str] = []

    @q.task("look")
    async def look(ctx: Context, name: str) -> None:
        g.name = name
        await meeting.wait()
        seen.append(f"{g.name} {g.get('outer')} {current_app.name}")

    with app.app_context():
        g.outer = "of the command"
        look.enqueue_sync("ann")
        look.enqueue_sync("bob")
        drain_sync(q)
        assert g.outer == "of the command"
    assert sorted(seen) == ["ann None shop", "bob None shop"]


def test_a_request_enqueues(q: Qcore) -> None:
    """In the thread of the view, and the task runs outside of the request."""
    app = Flask("shop")
    FlaskQcore(q, app)
    ran: list[str] = []

    @q.task("greet")
    def greet(ctx: Context, name: str) -> None:
        ran.append(name)

    @app.post("/greetings/<name>")
    def view(name: str) -> tuple[dict[str, str], int]:
        return {"task": greet.enqueue_sync(name).id}, 202

    client: FlaskClient = app.test_client()
    assert client.post("/greetings/ann").status_code == 202
    assert ran == []
    drain_sync(q)
    assert ran == ["ann"]


def test_a_task_that_runs_inline_has_a_context_beside_that_of_the_request(q: Qcore) -> None:
    """What it leaves in `g` the view does not find, and the view's is there again after it."""
    app = Flask("shop")
    FlaskQcore(q, app)

    @q.task("greet")
    def greet(ctx: Context) -> None:
        g.name = g.get("name", "nobody")

    @app.post("/greetings")
    def view() -> str:
        g.name = "ann"
        greet.enqueue_sync()
        return f"{g.name} {request.method}"

    with q.inline():
        assert app.test_client().post("/greetings").text == "ann POST"


def test_the_application_that_came_last_has_the_runs() -> None:
    """As each test makes one; a queue that is configured later goes by its configuration."""
    q = Qcore.later()
    queue = FlaskQcore(q)
    seen: list[str] = []

    @q.task("look")
    def look(ctx: Context) -> None:
        seen.append(current_app.name)

    stores: list[Any] = []
    for name in ("one", "two"):
        app = Flask(name)
        app.config["QCORE_URL"] = "memory://"
        queue.init_app(app)
        stores.append(q.broker)
        with q.swapped(clock=ManualClock()):
            look.enqueue_sync()
            drain_sync(q)
    assert seen == ["one", "two"]
    assert stores[0] is not stores[1]


def test_an_application_without_a_url_leaves_a_queue_as_it_was_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or has it go by the environment, as a queue that is made at once."""
    monkeypatch.setenv("QCORE_URL", "memory://")
    q = Qcore.later()
    FlaskQcore(q).init_app(Flask("one"))
    assert q.store == "memory://"
    own = Qcore.later()
    own.configure("sqlite:///own.db")
    FlaskQcore(own).init_app(Flask("two"))
    assert own.store == "sqlite:///own.db"


def test_a_url_beside_a_store_is_refused(q: Qcore) -> None:
    """One of them would be ignored."""
    app = Flask("shop")
    app.config["QCORE_URL"] = "sqlite:///shop.db"
    with pytest.raises(InvalidOption, match="has a store already, memory://: make it by"):
        FlaskQcore(q, app)


def test_two_queues_of_one_application_are_refused(q: Qcore) -> None:
    """`flask qcore` is about one; to say the same queue twice does no harm."""
    app = Flask("shop")
    queue = FlaskQcore(q, app)
    queue.init_app(app)
    with pytest.raises(InvalidOption, match="has a queue already"):
        FlaskQcore(Qcore("memory://"), app)


def test_a_worker_without_an_application_does_not_start(q: Qcore) -> None:
    """Rather than fail one task after the other."""
    FlaskQcore(q)

    @q.task("look")
    def look(ctx: Context) -> None: ...

    look.enqueue_sync()
    with pytest.raises(InvalidOption, match=r"call init_app\(app\), and have the worker make"):
        drain_sync(q)


@pytest.mark.parametrize("named", [None, "nowhere_to_be_found:create_app"])
def test_a_child_process_without_an_application_says_what_to_set(
    named: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Where FLASK_APP names none, and none lies in the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    if named is None:
        monkeypatch.delenv("FLASK_APP", raising=False)
    else:
        monkeypatch.setenv("FLASK_APP", named)
    with pytest.raises(InvalidOption, match=f"FLASK_APP is {named!r}: start the worker by"):
        load_app()


def test_commands_of_flask_are_about_the_queue(q: Qcore) -> None:
    """All of them: to list tasks, to run a worker, and so on."""
    app = Flask("shop")
    FlaskQcore(q, app)

    @q.task("greet")
    def greet(ctx: Context, name: str) -> None: ...

    greet.enqueue_sync("ann")
    runner = app.test_cli_runner()
    assert "greet" in runner.invoke(args=["qcore", "tasks"]).output
    assert "shop:q is given" not in runner.invoke(args=["qcore", "--help"]).output
    refused = runner.invoke(args=["qcore", "worker", "shop:q"])
    assert refused.exit_code == 2
    assert "leave out MODULE:NAME" in refused.output


@pytest.mark.parametrize("named", ["shop:app", "shop:create_app"])
def test_the_command_qcore_finds_the_queue_of_an_application(
    named: str, monkeypatch: pytest.MonkeyPatch, q: Qcore
) -> None:
    """The application, or its factory, is named, whose module need not have the queue."""

    def create_app() -> Flask:
        app = Flask("shop")
        FlaskQcore(q, app)
        return app

    shop: Any = ModuleType("shop")
    shop.app, shop.create_app = create_app(), create_app
    create_app.__module__ = "shop"
    monkeypatch.setitem(sys.modules, "shop", shop)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    assert load(named) is q
