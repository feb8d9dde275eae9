"""Run scripts on one namespace of one Redis.

Theory of operation. Every verb of the broker is one or more calls of a script (scripts.py), and
what a call changes, it changes atomically. The rules that all calls keep are these:

- Short. While a script runs the server serves nobody else, so a call takes at most 250 tasks and 50
  queues; verbs divide what they are given into chunks, which the link pipelines.
- One slot. On a cluster a call may take the keys of one queue only (`queue_batches`).
- Once. A link that loses a connection sends a call again, which may have been carried out. Scripts
  that only read, or that set again what they have set, go by `run_idempotent`. All others go by
  `run_once`, in a session with a serial number: a script finds the reply to a duplicate request in
  the session's key, and returns it (request_dedup.py).
- Checked first. Redis does not roll back a script that fails half way. So a script checks types and
  versions before its first write, and `check_permissions` tries every command when a broker is
  opened.
- Claims are remembered. A claimed task changes only with its token: while that is current, its
  metadata and run record are those that were claimed. They are kept here, so that a verdict is
  settled without reading the task again; the task of a lease that another process claimed is read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Final, TypeAlias, TypeVar, cast

from qcore.adapters.links.redis import Arg, Link, Reply, Script, ScriptCall
from qcore.adapters.redis.encoding import StoredId
from qcore.adapters.redis.keys import Key, Keys, queue_name
from qcore.adapters.redis.request_dedup import SessionPool
from qcore.adapters.redis.scripts import CHECK_PERMISSIONS
from qcore.domain.answers import has_kind
from qcore.domain.errors import BrokerRefused, BrokerUnavailable, BrokerUnusable, QcoreError
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.statistics import Resolution
from qcore.domain.task import RetentionPolicy

T = TypeVar("T")

MAX_TASKS_PER_CALL: Final = 250
"""Tasks in one call of a script, so that none keeps the server from others for milliseconds."""
MAX_QUEUES_PER_CALL: Final = 50
"""Queues in one call of a script: each is examined, whether it has tasks or not."""
MAX_REMEMBERED_CLAIMS: Final = 20_000
"""Claims of a queue whose tasks are remembered."""

RememberedClaim: TypeAlias = tuple[TaskId, StoredId, bytes, bytes | None, str, bool]
"""A task as it was claimed: its id, its stored id, its value up to the bar, its run record, None
for one that is the bare token, its name, and whether a success just deletes it."""


class ScriptRunner:
    """Runs scripts by a link, on the keys of one namespace."""

    def __init__(self, link: Link, keep: RetentionPolicy, namespace: str) -> None:
        self.link: Final = link
        self.keep: Final = keep
        self.keys: Final = Keys(namespace)
        self.sessions: Final = SessionPool()
        self._claimed: dict[str, dict[int, RememberedClaim]] = {}
        """By queue and token."""

    async def registered_queues(self) -> list[str]:
        """Return the queues that have ever had anything, and were not removed, in order."""
        known = await self.link.command("SMEMBERS", self.keys.registry)
        return sorted(name for name in map(queue_name, known) if name is not None)

    def queue_batches(self, queues: Iterable[str]) -> list[list[str]]:
        """Divide queues into batches whose keys one call may take."""
        names = list(dict.fromkeys(queues))
        return [
            [*chunk]
            for chunk in chunks(names, MAX_QUEUES_PER_CALL if self.link.is_multi_slot else 1)
        ]

    async def check_permissions(self) -> None:
        """Raise `BrokerUnusable` where the user lacks a permission that a script takes."""
        *keys, channel = self.keys.probe_keys()
        refused: list[bytes] = []
        # an unavailable server is no reason to refuse to open: a call will say so
        with suppress(BrokerUnavailable):
            (refused,) = await self.link.run(CHECK_PERMISSIONS, [ScriptCall(keys, [channel])])
        if refused:
            space = self.keys.registry.removesuffix("queues")
            lacking = " ".join(
                f"&{space}*" if b"channel" in said else f"+{name.decode().lower()}"
                for name, said in zip(refused[::2], refused[1::2], strict=True)
            )
            raise BrokerUnusable(
                f"cannot use {self.link.shown}: this user lacks a permission: ACL SETUSER <user> "
                f"{lacking}"
            )

    async def run_idempotent(
        self, script: Script, asked: Sequence[tuple[Sequence[str], Sequence[Arg]]]
    ) -> list[Reply]:
        """Call a script that may be carried out twice, for each entry of queues and arguments."""
        calls = [
            ScriptCall([key for queue in queues for key in self.keys.of(queue)], words)
            for queues, words in asked
        ]
        return await self.link.run(script, calls)

    async def run_once(
        self,
        script: Script,
        asked: Sequence[tuple[Sequence[str], Iterable[Arg]]],
        *,
        number: int = len(Key),
        now: Moment | None = None,
        durable: bool = False,
        partial: bool = False,
    ) -> list[Reply]:
        """Call a script that must be carried out once, for each entry of queues and arguments.

        `number` is how many of the first queue's keys a call takes. A script that adds to the
        statistics of `now` gets their keys, too. With `partial`, an error takes the place of an
        answer that did not come.
        """
        sessions = [self.sessions.acquire() for _ in asked]
        calls: list[ScriptCall] = []
        for (queues, words), session in zip(asked, sessions, strict=True):
            keys: Sequence[str]
            if now is not None:
                minute = int(now // Resolution.MINUTE)
                keys = self.keys.with_statistics((*queues,), session.name, number, minute)
            else:
                keys = [*self.keys.with_session(queues[0], session.name, number)]
                for queue in queues[1:]:
                    keys += self.keys.of(queue)
            calls.append(ScriptCall(keys, words, session.next()))
        replies = await self.link.run(script, calls, durable=durable, partial=partial)
        answered = sessions
        if partial:
            pairs = zip(sessions, replies, strict=True)
            answered = [session for session, reply in pairs if not isinstance(reply, QcoreError)]
        self.sessions.release(answered)
        return replies

    def remember_claims(self, queue: str, claimed: Mapping[int, RememberedClaim]) -> None:
        """Remember the tasks that were claimed from a queue, by token."""
        if not claimed:
            return
        known = self._claimed.setdefault(queue, {})
        known.update(claimed)
        for _ in range(len(known) - MAX_REMEMBERED_CLAIMS):
            # the oldest: its lease has most likely ended, and else it is read to be settled
            known.pop(next(iter(known), 0), None)

    def remembered_claims(self, queue: str, tokens: Iterable[int]) -> list[RememberedClaim | None]:
        """Return for each token the task that was claimed with it, if it is remembered."""
        known = self._claimed.get(queue, {})
        return [*map(known.get, tokens)]

    def forget_claims(self, queue: str, tokens: Iterable[int]) -> None:
        """Forget the tasks that were claimed with tokens, as their leases have ended."""
        known = self._claimed.get(queue, {})
        for _ in map(known.pop, tokens, repeat(None)):
            pass
        if not known:
            # there may be queues without end
            self._claimed.pop(queue, None)


def raise_outage(replies: Iterable[Reply]) -> None:
    """Raise the error of a call that was not answered, unless that was refused for its content."""
    for reply in replies:
        if isinstance(reply, QcoreError) and not isinstance(reply, BrokerRefused):
            raise reply


def refuse_in_part(answers: list[T | BrokerRefused]) -> list[T]:
    """Return answers; where there is a refusal among them, raise it with the other answers."""
    if not has_kind(answers, BrokerRefused):
        return cast("list[T]", answers)
    refusal = next(answer for answer in answers if isinstance(answer, BrokerRefused))
    raise BrokerRefused(
        str(refusal), [None if isinstance(each, BrokerRefused) else each for each in answers]
    )


def chunks(items: Sequence[T], size: int = MAX_TASKS_PER_CALL) -> Iterator[Sequence[T]]:
    """Yield items in chunks of the size that one call takes."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def group_by_queue(pairs: Iterable[tuple[str, T]]) -> Mapping[str, list[T]]:
    """Return the items of each queue, in order."""
    found: dict[str, list[T]] = {}
    for queue, item in pairs:
        found.setdefault(queue, []).append(item)
    return found
