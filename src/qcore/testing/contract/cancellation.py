"""Cases of calls that are cancelled: what they write, they write before they raise."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from qcore.domain.run_details import Details, DetailsUpdate
from qcore.domain.task import Demand, Verdict
from qcore.domain.transitions import Archived, Succeeded
from qcore.ports import Broker, Counts
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import a_claimed, put

STEPS = range(4)
"""After how many steps of the event loop a call is cancelled."""


async def cancelled(call: "asyncio.Task[object]", steps: int) -> None:
    """Cancel a call after some steps, and wait until it has ended in whichever way."""
    for _ in range(steps):
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call


class CancellationCases(Cases):
    """A caller whose call was cancelled asks what has become of it, and that stays so."""

    @pytest.mark.parametrize("steps", STEPS)
    async def test_what_a_cancelled_call_has_not_written_it_never_writes(
        self, broker: Broker, steps: int
    ) -> None:
        """It was made or it was not: a caller that then enqueues again would have two."""
        if self.blocking:
            # it ends on its first step, and cannot be cancelled
            return
        claim = await a_claimed(broker)
        await put(broker, a_task(queue="b"), a_task(id="c", queue="c"), a_task(queue="d"))
        await broker.claim(Demand(1, {"d": 1}), now=NOW, until=NOW + 1)
        calls = (
            lambda: broker.enqueue([a_task()], now=NOW),
            lambda: broker.claim(Demand(1, {"b": 1}), now=NOW, until=NOW + LEASE),
            lambda: broker.save_details([DetailsUpdate(claim.lease, saved=b"late")]),
            lambda: broker.execute("c", ["c"], Archived(), now=NOW),
            lambda: broker.sweep(["d"], 10, now=NOW + 2),
            lambda: broker.settle([Verdict(claim.lease, Succeeded())], now=NOW),
        )
        for call in calls:
            await cancelled(asyncio.ensure_future(call()), steps)
            before = await broker.count(), await broker.details("default", [claim.task.id])
            for _ in range(10):
                await asyncio.sleep(0)
            # a call that takes its time: whatever was still under way has arrived by now
            await put(broker, a_task(queue="other"))
            after = await broker.count(), await broker.details("default", [claim.task.id])
            assert _without_other(*after) == _without_other(*before), (
                f"cancelled after {steps} steps, it has written since"
            )


def _without_other(
    counts: Counts, details: Sequence[Details | None]
) -> tuple[Counts, list[Details | None]]:
    return {queue: n for queue, n in counts.items() if queue != "other"}, list(details)
