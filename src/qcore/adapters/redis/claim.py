"""Claim tasks under leases, renew leases, and find the next due moment."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from math import inf
from typing import Final

from attrs import evolve

from qcore.adapters.links.redis import Arg, Reply
from qcore.adapters.redis.encoding import decode_id, encode_id
from qcore.adapters.redis.keys import Key, Keys
from qcore.adapters.redis.records import (
    RunRecord,
    Unreadable,
    decode_claimed,
    decode_meta,
    decode_or_describe,
)
from qcore.adapters.redis.script_runner import (
    MAX_QUEUES_PER_CALL,
    MAX_TASKS_PER_CALL,
    RememberedClaim,
    ScriptRunner,
    chunks,
    group_by_queue,
)
from qcore.adapters.redis.scripts import CLAIM, EXTEND, NEXT_DUE
from qcore.adapters.redis.transitions import ConditionalWrite, apply_transitions
from qcore.domain.answers import LeaseLost, SweptTask
from qcore.domain.crash_isolation import most_together
from qcore.domain.ended_tasks import EndedTasks, unreadable_task
from qcore.domain.errors import QcoreError
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import ACTIVE, State
from qcore.domain.statistics import Resolution
from qcore.domain.task import Claim, Demand, Lease
from qcore.domain.transitions import Expired

MINUTE: Final = int(Resolution.MINUTE)
PROMOTING: Final = ("no", "last", "yes", "yes", "yes", "yes")
"""ARGV[6] of lua/claim.lua, by how many more calls of this claim may promote 200 due tasks each."""


async def claim(
    runner: ScriptRunner, demand: Demand, now: Moment, until: Moment, ended: EndedTasks
) -> Sequence[Claim]:
    """Claim tasks: each queue's quota first, then what room is left in the order given.

    Those that end instead, as they have expired or cannot be read, are added to `ended`. Raises
    only where nothing was claimed: claims that were lost with an error would crash when their
    leases end.
    """
    run = _ClaimRun(runner, demand, now, until)
    if 0 < len(demand.quotas) <= (MAX_QUEUES_PER_CALL if runner.link.is_multi_slot else 1):
        await run.take_at_once()
    else:
        groups = runner.queue_batches(demand.quotas)
        if len(groups) > 1:
            await run.take_quotas(groups)
        for group in groups:
            await run.take(group)
    ended.add(run.ended)
    if run.error is not None and not run.claims:
        raise run.error
    return run.claims


@lru_cache(maxsize=100)
def _first_call(
    keys: Keys, queues: tuple[str, ...], session: str, minute: int
) -> tuple[Sequence[str], bytes]:
    """Return the keys of a claim's first call, and it as a format of its number and arguments."""
    taken = keys.with_statistics(queues, session, len(Key), minute)
    args = [None, None, None, PROMOTING[-1], None, *[None] * len(queues)]
    return taken, CLAIM.call_format(taken, args)


_Pack = tuple[int, Sequence[bytes], Sequence[bytes | None], Sequence[bytes | None] | None]
"""The token before the first, ids, values, and run records: see lua/claim.lua."""


@record
class _Call:
    """One call of the script: the quota of each queue, and room for so many tasks in all."""

    shares: Mapping[str, int]
    room: int


class _ClaimRun:
    """The calls of one claim, and the tasks claimed so far."""

    def __init__(self, runner: ScriptRunner, demand: Demand, now: Moment, until: Moment) -> None:
        self._runner = runner
        self._now = now
        self._until = until
        self._limit = demand.limit
        self._quotas = dict(demand.quotas)
        self._empty: set[str] = set()
        self._promotions = len(PROMOTING) - 1
        self.claims: list[Claim] = []
        self.ended: list[SweptTask] = []
        """Tasks that ended instead of being claimed."""
        self.error: QcoreError | None = None
        """The first error of a call."""

    @property
    def _room(self) -> int:
        return self._limit - len(self.claims)

    async def take_at_once(self) -> None:
        """Claim where one call can take the keys of all queues, and mostly is enough.

        What an idle worker does between its wake-up and a task, with cold caches, it does here: of
        the call it encodes only what varies, and each function less is three microseconds less.
        """
        runner, quotas, now = self._runner, self._quotas, self._now
        room, session = min(self._limit, MAX_TASKS_PER_CALL), runner.sessions.acquire()
        queues, number = (*quotas,), session.next()
        minute = int(now // MINUTE)
        keys, form = _first_call(runner.keys, queues, session.name, minute)
        moments = b"%a" % now, b"%a" % self._until, b"%a" % runner.link.retry_deadline()
        shares = map(b"%d".__mod__, quotas.values())
        words = (b"%d" % number, *moments[:2], b"%d" % room, moments[2], *shares)
        encoded = form % (*chain.from_iterable(zip(map(len, words), words, strict=True)),)
        args: Sequence[Arg] = (*words[1:4], PROMOTING[-1], *words[4:])
        reply = await runner.link.run_one(CLAIM, keys, number, args, encoded)
        runner.sessions.release([session])
        if reply and reply[0] == b"due":
            self._promotions -= 1
            await self.take(queues)
            return
        stopped = await self._add_claims(_Call(quotas, room), reply)
        if self._room > 0 and (stopped or 0 < room == len(self.claims)):
            await self.take(queues)

    async def take_quotas(self, groups: Sequence[Sequence[str]]) -> None:
        """Claim each queue's quota, where one call cannot take the keys of all queues."""
        asked = [
            _Call(shares, sum(shares.values()))
            for shares in ({q: self._quotas[q] for q in group} for group in groups)
            if sum(shares.values())
        ]
        await self._ask(asked)

    async def take(self, group: Sequence[str]) -> None:
        """Claim from the queues of a group until there is no room, or nothing to claim."""
        more = not self._empty.issuperset(group)
        while more:
            asked = _Call({q: self._quotas[q] for q in group}, min(self._room, MAX_TASKS_PER_CALL))
            before = len(self.claims)
            stopped = await self._ask([asked])
            filled = 0 < asked.room <= len(self.claims) - before
            more = (stopped or filled) and self._room > 0

    async def _ask(self, asked: Sequence[_Call]) -> bool:
        """Make calls, and again those that promoted only; return whether one ended with "more"."""
        more = False
        left = asked
        while left:
            calls = [([*each.shares], self._args(each)) for each in left]
            replies = await self._runner.run_once(CLAIM, calls, now=self._now, partial=True)
            self._promotions = max(0, self._promotions - 1)
            due: list[_Call] = []
            for each, reply in zip(left, replies, strict=True):
                if isinstance(reply, QcoreError):
                    self.error = self.error or reply
                    # its queues are left out of the rest of this claim
                    self._empty.update(each.shares)
                elif reply and reply[0] == b"due":
                    due.append(each)
                else:
                    more = await self._add_claims(each, reply) or more
            left = due
        return more

    async def _add_claims(self, asked: _Call, reply: Reply) -> bool:
        """Add the claims of a reply; return whether it ended with "more"."""
        before = len(self.claims)
        for queue, rows in zip(asked.shares, reply[1:], strict=bool(reply)):
            await self._decode_claims(queue, rows)
        more: bool = bool(reply) and reply[0] == b"more"
        if not more and len(self.claims) - before < asked.room:
            self._empty.update(asked.shares)
        return more

    def _args(self, asked: _Call) -> list[Arg]:
        promoting = PROMOTING[self._promotions]
        deadline = self._runner.link.retry_deadline()
        words: list[Arg] = [
            repr(self._now),
            repr(self._until),
            asked.room,
            promoting,
            repr(deadline),
            *asked.shares.values(),
        ]
        if self.claims:
            for queue in asked.shares:
                held = [claim.task for claim in self.claims if claim.task.queue == queue]
                most = min(map(most_together, held), default=inf)
                words += (len(held), "-" if most == inf else int(most))
        return words

    async def _decode_claims(self, queue: str, packs: Sequence[_Pack]) -> None:
        runner, claims, until = self._runner, self.claims, self._until
        undecodable: list[ConditionalWrite] = []
        died: list[SweptTask] = []
        before = len(claims)
        remembered: dict[int, RememberedClaim] = {}
        for last, names, values, given in packs:
            token, records = last, given or [None] * len(names)
            for name, value, progress in zip(names, values, records, strict=True):
                token += 1
                if value is None:
                    if progress is not None:
                        self.ended.append(_expired(queue, decode_id(name), progress))
                    continue
                id = decode_id(name)  # noqa: A001
                try:
                    task, head, is_plain = decode_claimed(queue, id, value, progress)
                except Unreadable as why:
                    error = f"what is stored of it cannot be read: {why}"
                    death = self._death_of(name, token, value, error)
                    undecodable.append((queue, name, 0, death, None))
                    described = decode_or_describe(queue, id, ACTIVE, value, progress)
                    died.append(unreadable_task(evolve(described, attempts=1), error))
                    continue
                remembered[token] = (id, name, head, progress, task.spec.name, is_plain)
                claims.append(Claim(task, Lease(queue, id, token, until)))
        runner.remember_claims(queue, remembered)
        self._quotas[queue] = max(0, self._quotas[queue] - len(claims) + before)
        if undecodable:
            made = await apply_transitions(runner, undecodable, self._now)
            self.ended += [task for task, was in zip(died, made, strict=True) if was is True]

    def _death_of(self, name: bytes, token: int, value: bytes, error: str) -> list[Arg]:
        """Return the guard and change that make a claimed task dead that cannot be decoded."""
        last = RunRecord(None)
        last.attempts, last.finished = 1, self._now
        last.error = error
        left: list[Arg] = [int(Key.ACTIVE), name]
        with suppress(Unreadable):
            if (unique := decode_meta(value).unique) is not None:
                left += (int(Key.UNIQUE), unique)
        entered = int(Key.DEAD), repr(self._now), name
        return ["t", token, len(left) // 2, *left, 1, *entered, last.text(), "", "", ""]


def _expired(queue: str, id: TaskId, record: bytes) -> SweptTask:  # noqa: A002
    """Return a task that has expired, given its attempts and its name."""
    attempts, _, name = record.partition(b" ")
    called = name.decode(errors="replace") or None
    return SweptTask(queue, id, State.DEAD, Expired(), called, int(attempts))


async def extend(
    runner: ScriptRunner, leases: Sequence[Lease], until: Moment
) -> list[Lease | LeaseLost]:
    """Renew leases."""
    answers: list[Lease | LeaseLost] = [LeaseLost() for _ in leases]
    chunked = [
        (queue, chunk)
        for queue, places in group_by_queue(
            (lease.queue, n) for n, lease in enumerate(leases)
        ).items()
        for chunk in chunks(places)
    ]
    asked = [
        (
            [queue],
            [
                repr(until),
                len(chunk),
                *(encode_id(leases[n].id) for n in chunk),
                *(leases[n].token for n in chunk),
            ],
        )
        for queue, chunk in chunked
    ]
    for (_, chunk), reply in zip(chunked, await runner.run_idempotent(EXTEND, asked), strict=True):
        for n, kept in zip(chunk, reply.decode(), strict=True):
            if kept == "1":
                answers[n] = evolve(leases[n], until=until)
    return answers


async def next_due(runner: ScriptRunner, queues: Sequence[str]) -> Moment | None:
    """Return when the next waiting task of these queues is due."""
    replies = await runner.run_idempotent(
        NEXT_DUE, [(group, ()) for group in runner.queue_batches(queues)]
    )
    moments = [float(reply) for reply in replies if reply is not None]
    return min((moment for moment in moments if moment < LAST_MOMENT), default=None)
