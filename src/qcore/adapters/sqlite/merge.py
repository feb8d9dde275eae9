"""`merge_lost`: take over the tasks that were in a log which somebody has removed."""

import json
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements

_SQL: Final = statements("merge")


def merge_lost(tx: Tx) -> int:
    """Insert the tasks of the attached database `lost` that are not stored; return how many.

    A task that is stored stays as it is: it may have moved since the log was lost. What ended in
    the lost log alone runs once more.
    """
    tx.execute(_SQL["queues"])
    tx.execute(_SQL["counters"])
    keys = [key for (key,) in tx.execute(_SQL["tasks"])]
    tx.execute(_SQL["details"], (json.dumps(keys),))
    tx.execute(_SQL["limits"])
    tx.execute(_SQL["counts"])
    return len(keys)
