"""Postgres's errors by SQLSTATE, mapped to qcore's; here and nowhere else.

A class of codes is its first two characters (postgresql.org/docs, appendix A).
"""

import re
from typing import Final

from psycopg import DataError, Error, InterfaceError, OperationalError

from qcore.domain.errors import BrokerRefused, BrokerUnavailable, BrokerUnusable, QcoreError

READ_ONLY: Final = "25006"
RACES: Final = frozenset({"40001", "40P01", "23505"})
"""Errors after which the same transaction may succeed at once: others wrote at the same time."""
TRY_ELSEWHERE: Final = frozenset({READ_ONLY, "57P01", "57P02", "57P03", "57P05", "08006", "08003"})
"""Errors of a server that is not the one to ask any more: connections to it are given up."""

CHANGED_SESSION: Final = ("26000", "42P05")
"""Errors of a session that has lost what was prepared in it, or has what was not."""

TRANSIENT: Final = {
    READ_ONLY: "the server is read-only, as a standby is: the next connection looks for a primary",
    "57P01": "the server shuts down",
    "57P02": "the server restarts after a crash",
    "57P03": "the server starts, or shuts down",
    "57P05": "the session was idle for too long for the server",
    "57014": "a statement took longer than its timeout",
    "55P03": "a lock was not had in time: another transaction holds it",
    "40001": "other transactions wrote the same at the same time",
    "40P01": "other transactions waited for each other",
    "53300": "the server has no connection left: raise max_connections, or lower `connections`",
    "53200": "the server is out of memory",
    **dict.fromkeys(
        CHANGED_SESSION,
        "the session is not the one that has prepared the statements: where a pooler is between, "
        "say pooler=transaction in the URL",
    ),
    "25P03": "the session was idle in a transaction for too long for the server",
    "25P04": "a transaction took too long for the server",
}

PERMANENT: Final = {
    "53100": "the disk is full: make room",
    "28P01": "the password is wrong: change it in the URL",
    "28000": "the server refuses this user: change pg_hba.conf, or the user in the URL",
    "3D000": "there is no such database: create it",
    "42501": "this user lacks a privilege: GRANT it, as `qcore doctor` says in full",
    "3F000": "there is no such schema: was it dropped?",
    "42P01": "a table is missing: was it dropped?",
    "42703": "a column is missing: was a table changed?",
    "0A000": "the server does not know what it was asked for: is it older than PostgreSQL 13?",
    "58030": "the server's disk failed to read or write: look at its log",
    "58P01": "the server misses a file: look at its log",
    "TLS": "TLS was not agreed on: change sslmode or sslrootcert in the URL, or the server",
    "XX001": "the database is damaged: look at the server's log",
    "XX002": "an index is damaged: REINDEX it",
}

REFUSALS: Final = frozenset({"22", "23", "54"})
"""Classes of errors about what a statement holds, which other statements do not meet."""


def mapped(error: Error, shown: str) -> QcoreError:
    """Return the error to raise for one of psycopg's."""
    code = error.sqlstate
    words = " ".join(str(error).split())
    if code in TRANSIENT:
        return BrokerUnavailable(f"{shown}: {TRANSIENT[code]} ({words})")
    if code in PERMANENT:
        return BrokerUnusable(f"cannot use {shown}: {PERMANENT[code]} ({words})")
    if code is not None and code[:2] in REFUSALS:
        return BrokerRefused(f"{shown} does not take what is in the call ({words})")
    if code is None and isinstance(error, DataError):
        return BrokerRefused(f"{shown} cannot be sent what is in the call ({words})")
    if is_disconnection(error):
        return _not_reached(words, shown)
    return BrokerUnusable(
        f"cannot use {shown}: it does not answer as a Postgres would ({code}: {words})"
    )


def _not_reached(words: str, shown: str) -> QcoreError:
    for said, code in _SAID.items():
        if re.search(said, words):
            if code in TRANSIENT:
                return BrokerUnavailable(f"{shown}: {TRANSIENT[code]} ({words})")
            return BrokerUnusable(f"cannot use {shown}: {PERMANENT[code]} ({words})")
    return BrokerUnavailable(f"{shown} does not answer ({words})")


_SAID: Final = {
    "too many clients already|remaining connection slots|too many connections"
    "|no more connections allowed": "53300",
    "password authentication failed|no password supplied": "28P01",
    "pg_hba.conf|authentication failed|no such user": "28000",
    'role ".*" (does not exist|is not permitted)': "28000",
    'database ".*" does not exist|no such database': "3D000",
    "permission denied for database": "42501",
    "does not support SSL|certificate verify failed|certificate file|server certificate": "TLS",
}
"""What a server, PgBouncer or libpq says before there is a session, and the code that it is of: an
error then has none. The first that fits counts."""


def is_disconnection(error: Error) -> bool:
    """Return whether the connection is lost, or was never made."""
    code = error.sqlstate
    if code is None:
        return isinstance(error, OperationalError | InterfaceError)
    return code[:2] == "08" or code in {"57P01", "57P02", "57P03", "57P05"}


def must_leave(error: Error) -> bool:
    """Return whether connections to the server are to be given up."""
    return is_disconnection(error) or error.sqlstate in TRY_ELSEWHERE


def is_unusable(error: Error) -> bool:
    """Return whether the session that has met an error is to be given up, and no other."""
    return error.sqlstate in CHANGED_SESSION


def is_race(error: Error) -> bool:
    """Return whether the same transaction may succeed at once."""
    return error.sqlstate in RACES


def is_passing(error: Error) -> bool:
    """Return whether the same call may succeed within seconds, perhaps at another server."""
    return isinstance(mapped(error, ""), BrokerUnavailable)
