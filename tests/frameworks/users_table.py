"""The table of an application, in tests of SQLAlchemy."""

from typing import Final

from sqlalchemy import Engine, text

CREATE: Final = text("CREATE TABLE users (name TEXT UNIQUE)")
INSERT: Final = text("INSERT INTO users VALUES (:name)")


def users(engine: Engine) -> list[str]:
    """Return the users that were committed."""
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT name FROM users ORDER BY name")))
