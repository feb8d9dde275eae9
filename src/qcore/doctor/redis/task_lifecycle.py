"""Run a task through its lifecycle with every script, in a queue that is removed afterwards."""

from collections.abc import Sequence
from contextlib import suppress
from threading import Event
from time import perf_counter
from typing import Any, Final, cast

from qcore.adapters.links.redis import Arg, Link, Reply, Script, ScriptCall
from qcore.adapters.redis import admin, claim, enqueue, settle, sweep
from qcore.adapters.redis.keys import Key
from qcore.adapters.redis.script_runner import ScriptRunner
from qcore.adapters.redis.scripts import SCRIPTS
from qcore.doctor.redis.queues import KNOWN
from qcore.domain.answers import Enqueued, LeaseLost, Settled, Swept
from qcore.domain.diagnostics import Finding, error, ok, warning
from qcore.domain.ended_tasks import EndedTasks
from qcore.domain.errors import QcoreError
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.task import Demand, Lease, RetentionPolicy, Verdict
from qcore.domain.transitions import Failed, Succeeded
from qcore.ports import Subscription

LEASE: Final = 30.0
PATIENCE: Final = 2.0
"""Seconds for a wake-up."""


class UnexpectedAnswer(Exception):
    """Say which answer of the broker was unexpected."""


async def check_lifecycle(link: Link, namespace: str, queue: str) -> list[Finding]:
    """Enqueue, claim, fail, claim again and settle a task; tell whether all went as it has to."""
    recording = _RecordingLink(link)
    runner = ScriptRunner(cast("Link", recording), RetentionPolicy(), namespace)
    try:
        began = perf_counter()
        woke = await _run_lifecycle(runner, queue)
        took = perf_counter() - began
        return [
            ok("scripts", f"all {len(SCRIPTS)} run: a task lived and left in {1000 * took:.1f} ms"),
            _wake_up(woke, runner.keys.channel(queue)),
        ]
    except UnexpectedAnswer as why:
        return [
            error(
                "scripts",
                f"they do not do what they have to: {why}",
                "is it a Redis or a Valkey? please report it, with its version",
            )
        ]
    except QcoreError as why:
        return [error("scripts", str(why), "until then no task can be enqueued or run")]
    finally:
        await recording.remove_all()


def _wake_up(woke: bool, channel: str) -> Finding:  # noqa: FBT001  (what was found)
    if woke:
        return ok("wake-ups", "an enqueue is heard by those who wait")
    return warning(
        "wake-ups",
        f"none came within {PATIENCE:g} s: idle workers learn late of new tasks",
        f"look whether PUBLISH and SUBSCRIBE reach {channel}: a proxy may be in the way",
    )


async def _run_lifecycle(runner: ScriptRunner, queue: str) -> bool:
    """Lead a task from its first state to its last; return whether its enqueue was heard."""
    heard = Event()
    subscription = await runner.link.listen(
        [runner.keys.channel(queue)], heard.set, lambda _channel, _text: heard.set()
    )
    try:
        heard.clear()
        # a queue that is there already: the registry never hears of it
        await runner.link.command("HSET", runner.keys.of(queue)[Key.META - 1], "version", KNOWN)
        now = runner.link.time()
        await _begin(runner, queue, now)
        woke = await _comes(heard, runner.link)
        await _end(runner, queue, now)
    finally:
        await _close(subscription)
    return woke


async def _comes(heard: Event, link: Link) -> bool:
    """Wait until something was heard, a round trip at a time."""
    ends = perf_counter() + PATIENCE
    while not heard.is_set() and perf_counter() < ends:
        await link.command("PING")
    return heard.is_set()


async def _close(subscription: Subscription) -> None:
    with suppress(QcoreError):
        await subscription.close()


async def _begin(runner: ScriptRunner, queue: str, now: Moment) -> None:
    """Enqueue a task, and look at it."""
    task = NewTask("qcore:doctor", id=queue, queue=queue)
    _expect("enqueue", await enqueue.enqueue(runner, [task], now), [Enqueued(queue, State.PENDING)])
    [stored] = await admin.get(runner, queue, [queue])
    _expect("get", stored and (stored.spec.name, stored.state), (task.name, State.PENDING))
    page = await admin.browse(runner, queue, State.PENDING, 10, None)
    _expect("browse", [each.spec.id for each in page.tasks], [queue])
    counts = await admin.count_in(runner, [queue])
    _expect("count", counts, {queue: {State.PENDING: 1}})


async def _end(runner: ScriptRunner, queue: str, now: Moment) -> None:
    """Run it twice: it fails, waits, and succeeds."""
    lease = await _claimed(runner, queue, now)
    _expect("extend", await claim.extend(runner, [lease], now + LEASE), [lease])
    failed = Verdict(lease, Failed("on purpose", again_at=now + 1))
    _expect("settle", await settle.settle(runner, [failed], now), [Settled(State.RETRY)])
    _expect("next_due", await claim.next_due(runner, [queue]), now + 1)
    second = await _claimed(runner, queue, now + 1)
    if second.token <= lease.token:
        raise UnexpectedAnswer(f"claim gave the token {second.token} after {lease.token}")
    late = [Verdict(lease, Succeeded()), Verdict(second, Succeeded())]
    expected = [LeaseLost(), Settled(State.GONE)]
    _expect("settle", await settle.settle(runner, late, now + 1), expected)
    _expect("sweep", await sweep.sweep(runner, [queue], 10, now + 1), Swept())
    _expect("get", await admin.get(runner, queue, [queue]), [None])


async def _claimed(runner: ScriptRunner, queue: str, now: Moment) -> Lease:
    claims = await claim.claim(runner, Demand(1, {queue: 1}), now, now + LEASE, EndedTasks())
    _expect("claim", [each.task.spec.id for each in claims], [queue])
    return claims[0].lease


def _expect(verb: str, answer: object, expected: object) -> None:
    if answer != expected:
        raise UnexpectedAnswer(f"{verb} answered {answer!r}, not {expected!r}")


class _RecordingLink:
    """A link that records the keys it was used with, so that they can be removed."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._keys: dict[str, None] = {}

    def __getattr__(self, name: str) -> Any:
        """Be as the link is, whatever else it has."""
        return getattr(self._link, name)

    async def run(
        self,
        script: Script,
        calls: Sequence[ScriptCall],
        *,
        durable: bool = False,
        partial: bool = False,
    ) -> list[Reply]:
        self._keys |= dict.fromkeys(key for call in calls for key in call.keys)
        return await self._link.run(script, calls, durable=durable, partial=partial)

    async def run_one(
        self, script: Script, keys: Sequence[str], number: int, args: Sequence[Arg], encoded: bytes
    ) -> Reply:
        self._keys |= dict.fromkeys(keys)
        return await self._link.run_one(script, keys, number, args, encoded)

    async def command(self, *words: Arg) -> Reply:
        if words[0] == "HSET":
            self._keys[str(words[1])] = None
        return await self._link.command(*words)

    async def remove_all(self) -> None:
        """Remove all keys; with a command that qcore has a permission for anyhow."""
        with suppress(QcoreError):
            for key in self._keys:
                await self._link.command("PEXPIRE", key, 0)
