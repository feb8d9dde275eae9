"""The Flask application of `examples/newsletter`: in memory, and with a worker of `flask qcore`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.pool import StaticPool

from examples.newsletter.app import create_app
from examples.newsletter.extensions import db, q
from examples.newsletter.models import Letter
from qcore.testing import ManualClock, drain_sync

ROOT = Path(__file__).parents[1]


@pytest.fixture
def app() -> Iterator[Flask]:
    """Return an application of this test alone, whose database and tasks are in memory."""
    in_memory = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    settings = {
        "TESTING": True,
        "NAME": "The Daily",
        "QCORE_URL": "memory://",
        "SQLALCHEMY_DATABASE_URI": "sqlite://",
        "SQLALCHEMY_ENGINE_OPTIONS": in_memory,
    }
    with q.swapped(clock=ManualClock()):
        made = create_app(settings)
        yield made
        with made.app_context():
            db.engine.dispose()


def letters(app: Flask) -> list[tuple[str, str]]:
    """Return what was sent."""
    with app.app_context():
        return [(each.to, each.text) for each in db.session.scalars(db.select(Letter))]


@pytest.mark.parametrize("address", ["ann@example.com", "bob@example.com"])
def test_a_subscriber_is_welcomed_in_the_background(app: Flask, address: str) -> None:
    """The request answers before; the handler has the configuration of this test's application."""
    answer = app.test_client().post("/subscribers", data={"address": address})
    assert answer.status_code == 202
    task = f"/tasks/{answer.json['task']}"
    assert app.test_client().get(task).json == {"state": "pending"}
    assert letters(app) == []
    drain_sync(q)
    assert letters(app) == [(address, f"Welcome to The Daily, {address}!")]
    assert app.test_client().get(task).json == {"state": "gone"}


def test_commands_are_part_of_flasks(app: Flask) -> None:
    """And are about the application's store."""
    app.test_client().post("/issues/7")
    result = app.test_cli_runner().invoke(args=["qcore", "tasks"])
    assert "newsletter:issue" in result.output


@pytest.mark.system
def test_a_worker_of_flask_finds_the_factory(tmp_path: Path) -> None:
    """And so does the child process of a handler, whose application has the same settings."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "FLASK_NAME": "The Monthly",
        "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path}/newsletter.db",
        "FLASK_QCORE_URL": f"sqlite:///{tmp_path}/tasks.db",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        app = create_app()
        client = app.test_client()
        client.post("/subscribers", data={"address": "ann@example.com"})
        client.post("/issues/1")
        q.blocking.close()
    flask = [sys.executable, "-m", "flask", "--app", "examples.newsletter.app:create_app"]
    worker = subprocess.run(
        [*flask, "qcore", "worker", "--burst", "--process-pool", "1"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert worker.returncode == 0, worker.stderr
    assert sorted(letters(app)) == [
        ("ann@example.com", "The Monthly, number 1"),
        ("ann@example.com", "Welcome to The Monthly, ann@example.com!"),
    ], worker.stderr
    with app.app_context():
        assert len(set(db.session.scalars(db.select(Letter.process)))) == 2
        db.engine.dispose()
