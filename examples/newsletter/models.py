"""Who has subscribed, and what was sent to whom."""

from sqlalchemy.orm import Mapped, mapped_column

from examples.newsletter.extensions import db


class Subscriber(db.Model):  # type: ignore[name-defined]
    """Somebody who wants to read it."""

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(unique=True)


class Letter(db.Model):  # type: ignore[name-defined]
    """An e-mail that was sent, and the process that has sent it."""

    id: Mapped[int] = mapped_column(primary_key=True)
    to: Mapped[str]
    text: Mapped[str]
    process: Mapped[int]
