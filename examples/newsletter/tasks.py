"""The tasks. Their handlers have an application context, and so Flask's configuration and `db`."""

import os

from flask import current_app, render_template_string

from examples.newsletter.extensions import db, q
from examples.newsletter.models import Letter, Subscriber
from qcore import Context, SkipRetry


@q.task("newsletter:welcome")
def welcome(_: Context, subscriber: int) -> None:
    """Write to a new subscriber. In a thread of the worker."""
    found = db.session.get(Subscriber, subscriber)
    if found is None:
        raise SkipRetry(f"there is no subscriber {subscriber}")
    text = render_template_string("Welcome to {{ config.NAME }}, {{ to }}!", to=found.address)
    send(found.address, text)


@q.task("newsletter:issue", process=True)
def issue(_: Context, number: int) -> None:
    """Send an issue to all who have subscribed. In a process of its own."""
    for found in db.session.scalars(db.select(Subscriber)):
        send(found.address, f"{current_app.config['NAME']}, number {number}")


def send(to: str, text: str) -> None:
    """Send an e-mail; here it is only stored."""
    db.session.add(Letter(to=to, text=text, process=os.getpid()))
    db.session.commit()
