"""Values that SQLite refuses for their size: no outage, and nothing of the batch is written."""

import sqlite3
from typing import Any

import pytest

from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.domain.run_details import DetailsUpdate
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, Verdict
from qcore.domain.transitions import Succeeded
from qcore.errors import BrokerRefused
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract import Cases
from qcore.testing.contract.steps import browse_all, ids_of, put, take

LIMIT = 100_000
TOO_LARGE = b"x" * 2 * LIMIT


class TestRefusedValues(Cases):
    """The limit is SQLite's own (sqlite.org/limits.html), lowered from its billion bytes."""

    @pytest.fixture(autouse=True)
    def _with_a_low_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connect = sqlite3.connect

        def limited(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection = connect(*args, **kwargs)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LIMIT)
            return connection

        monkeypatch.setattr(sqlite3, "connect", limited)

    def make_broker(self, keep: RetentionPolicy) -> SqliteBroker:
        return SqliteBroker(AsyncSqliteLink(self.folder / "tasks.db"), keep=keep)

    async def test_a_batch_with_a_task_that_is_too_large_is_refused(
        self, broker: SqliteBroker
    ) -> None:
        """Nothing of it is stored, and the next call goes in."""
        with pytest.raises(BrokerRefused, match="larger than SQLite's limit") as refused:
            await broker.enqueue([a_task(), a_task(payload=TOO_LARGE)], now=NOW)
        assert not refused.value.answers
        await put(broker, fine := a_task())
        assert ids_of(await browse_all(broker, State.PENDING)) == [fine.id]

    async def test_a_result_and_saved_work_that_are_too_large_are_refused(
        self, broker: SqliteBroker
    ) -> None:
        """The run keeps its lease, to be settled otherwise."""
        await put(broker, *(a_task(retention=60) for _ in range(2)))
        claims = await take(broker)
        results = [b"small", TOO_LARGE]
        verdicts = [
            Verdict(claim.lease, Succeeded(result))
            for claim, result in zip(claims, results, strict=True)
        ]
        with pytest.raises(BrokerRefused):
            await broker.settle(verdicts, now=NOW)
        with pytest.raises(BrokerRefused):
            await broker.save_details([DetailsUpdate(claims[1].lease, saved=TOO_LARGE)])
        assert len(await browse_all(broker, State.ACTIVE)) == 2


class TestRefusedValuesBlocking(TestRefusedValues):
    blocking = True
