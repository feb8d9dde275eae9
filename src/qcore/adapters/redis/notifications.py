"""Subscriptions: notifications as Redis carries them, on one or two channels of each queue.

On a queue's wake-up channel an empty message says that there may be work; any other has the tokens
of leases that an order has ended. On its news channel each message has the ids of tasks that have
changed. A channel is subscribed to only by those who want what comes on it. Entries of periodic
tasks have none: a scheduler asks for them again, as it had to anyway where a message was lost.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.redis.encoding import decode_id
from qcore.adapters.redis.keys import Key
from qcore.adapters.redis.script_runner import ScriptRunner
from qcore.domain.new_task import TaskId
from qcore.ports import Kinds, LeaseEnded, Notify, Subscription, TasksChanged, WorkAvailable

WORK: Final = WorkAvailable()
PUBLISHED: Final = {WorkAvailable, LeaseEnded, TasksChanged}
"""The kinds that come on a channel."""


async def subscribe(
    runner: ScriptRunner, queues: Sequence[str], kinds: Kinds, notify: Notify
) -> Subscription:
    """Call `notify` with each notification of these kinds, and after every connection."""
    if queues and not PUBLISHED.isdisjoint(kinds):
        return await _listen(runner, queues, kinds, notify)
    return _Silence()


class _Silence:
    """The subscription of whoever is never told anything: no connection is made for it."""

    async def close(self) -> None:
        """Do nothing."""


async def _listen(
    runner: ScriptRunner, queues: Sequence[str], kinds: Kinds, notify: Notify
) -> Subscription:
    wants_work, wants_ended = WorkAvailable in kinds, LeaseEnded in kinds
    waking = {runner.keys.channel(queue): queue for queue in queues if wants_work or wants_ended}
    news = {runner.keys.news(queue): queue for queue in queues if TasksChanged in kinds}

    def connected() -> None:
        # what was said before is lost; of leases that ended `extend` tells
        if wants_work:
            notify(WORK)
        for queue in news.values():
            notify(TasksChanged(queue, ()))

    def on_message(channel: str, text: bytes) -> None:
        if channel in news:
            notify(TasksChanged(news[channel], _changed(text)))
        elif not text:
            if wants_work:
                notify(WORK)
        elif wants_ended:
            for token in text.split():
                notify(LeaseEnded(waking[channel], int(token)))

    # removes nothing, as no field has that name; on a cluster it reaches the first queue's node
    check = ("HDEL", runner.keys.of(queues[0])[Key.META - 1], "")
    return await runner.link.listen([*waking, *news], connected, on_message, check=check)


def _changed(text: bytes) -> list[TaskId]:
    try:
        return [*_ids(text)]
    except ValueError:
        # said by somebody else: who does not know what it means had better look
        return []


def _ids(text: bytes) -> Iterator[TaskId]:
    """Yield ids, each behind the length of what it is stored as, and a blank."""
    start = 0
    while start < len(text):
        blank = text.index(b" ", start)
        size = int(text[start:blank])
        if not 0 < size <= len(text) - blank - 1:
            raise ValueError("expected an id")
        start = blank + 1 + size
        yield decode_id(text[blank + 1 : start])
