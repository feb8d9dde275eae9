"""The service's own database of users, apart from the queue's."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

SCHEMA = """
    CREATE TABLE IF NOT EXISTS users (
        id           INTEGER PRIMARY KEY,
        name         TEXT NOT NULL,
        email        TEXT NOT NULL UNIQUE,
        country      TEXT NOT NULL,
        code         TEXT NOT NULL,
        is_reachable INTEGER  -- NULL until a mail server has answered
    ) STRICT
"""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who signed up."""

    id: int
    name: str
    email: str
    country: str
    code: str
    """What the verification link proves knowledge of."""


@dataclass(frozen=True, slots=True)
class CountryRow:
    """How one country's sign-ups went."""

    country: str
    users: int
    reached: int
    unreachable: int


class Users:
    """The table of users. Safe to use from threads: each call has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Make the table, if it is not there."""
        with self._connection() as db:
            # readers and the one writer do not wait for each other
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(SCHEMA)

    def add(self, name: str, email: str, country: str) -> User:
        """Store a new user; raise `sqlite3.IntegrityError` if the address is taken."""
        code = token_urlsafe(16)
        with self._connection() as db:
            row = db.execute(
                "INSERT INTO users (name, email, country, code) VALUES (?, ?, ?, ?) RETURNING id",
                (name, email, country, code),
            ).fetchone()
        return User(row["id"], name, email, country, code)

    def get(self, user_id: int) -> User:
        """Return a user; raise `KeyError` if there is none of that id."""
        with self._connection() as db:
            row = db.execute(
                "SELECT id, name, email, country, code FROM users WHERE id = ?", (user_id,)
            ).fetchone()
        if row is None:
            raise KeyError(user_id)
        return User(**row)

    def mark(self, user_id: int, *, is_reachable: bool) -> None:
        """Note whether the user's address takes mail. Doing so twice does no harm."""
        with self._connection() as db:
            db.execute("UPDATE users SET is_reachable = ? WHERE id = ?", (is_reachable, user_id))

    def by_country(self) -> list[CountryRow]:
        """Return one row for each country, the largest first."""
        with self._connection() as db:
            rows = db.execute(
                """
                SELECT country, count(*) AS users, count(*) FILTER (WHERE is_reachable) AS reached,
                       count(*) FILTER (WHERE NOT is_reachable) AS unreachable
                FROM users GROUP BY country ORDER BY users DESC, country
                """
            ).fetchall()
        return [CountryRow(**row) for row in rows]

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection, None, None]:
        """Open the database for one transaction: committed at the end, rolled back on an error."""
        db = sqlite3.connect(self._path, timeout=10)
        db.row_factory = sqlite3.Row
        # with a journal in WAL mode, the database survives a crash of the process without a sync
        db.execute("PRAGMA synchronous = NORMAL")
        try:
            with db:
                yield db
        finally:
            db.close()
