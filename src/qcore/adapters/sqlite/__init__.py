"""The SQLite broker: qcore's embedded default."""

from qcore.adapters.sqlite.broker import SqliteBroker

__all__ = ["SqliteBroker"]
