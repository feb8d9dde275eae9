"""The application factory: `flask --app examples.newsletter.app run`."""

from collections.abc import Mapping
from typing import Any

from flask import Flask, request

from examples.newsletter import tasks
from examples.newsletter.extensions import db, q, queue
from examples.newsletter.models import Subscriber

DEFAULTS = {
    "NAME": "The Weekly",
    "SQLALCHEMY_DATABASE_URI": "sqlite:///newsletter.db",
    "QCORE_URL": "sqlite:///newsletter-tasks.db",
}


def create_app(settings: Mapping[str, Any] = {}) -> Flask:
    """Return the application; variables such as FLASK_QCORE_URL are settings, too."""
    app = Flask(__name__)
    app.config.from_mapping(DEFAULTS)
    app.config.from_prefixed_env()
    app.config.from_mapping(settings)
    db.init_app(app)
    queue.init_app(app)
    with app.app_context():
        db.create_all()

    @app.post("/subscribers")
    def subscribe() -> tuple[dict[str, str], int]:
        """Store a subscriber; the e-mail is sent in the background, after the commit."""
        subscriber = Subscriber(address=request.form["address"])
        db.session.add(subscriber)
        db.session.commit()
        handle = tasks.welcome.enqueue_sync(subscriber.id)
        return {"task": handle.id}, 202

    @app.post("/issues/<int:number>")
    def send_issue(number: int) -> tuple[dict[str, str], int]:
        """Send an issue to all; twice the same number is sent once."""
        once = tasks.issue.using(task_id=f"issue-{number}", retention=86_400)
        return {"task": once.enqueue_sync(number).id}, 202

    @app.get("/tasks/<task>")
    def task_state(task: str) -> dict[str, str]:
        """Say how far a task has come."""
        return {"state": q.blocking.handle("default", task).status()}

    return app
