"""The Postgres broker: tasks in a schema of a database that many processes share."""

from qcore.adapters.postgres.broker import PostgresBroker

__all__ = ["PostgresBroker"]
