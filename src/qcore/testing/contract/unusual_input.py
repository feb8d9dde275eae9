"""Cases of unusual input that is allowed: any Unicode text, large payloads, large batches."""

import pytest
from attrs import evolve

from qcore.domain.answers import Moved, Settled, Swept
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import (
    MAX_BUDGET,
    MAX_ID,
    MAX_NAME,
    MAX_QUEUE,
    MAX_TAG,
    MAX_TAGS,
    NewTask,
)
from qcore.domain.run_details import AttemptError, Details, DetailsSaved, DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, Verdict
from qcore.domain.transitions import Archived, Cancelled, Deleted, Failed, Rejected, Succeeded
from qcore.ports import Broker, Capability
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    execute_on,
    ids,
    ids_of,
    nothing_is_left,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)

WORDS = [
    "'",
    '"',
    "a';DROP/**/TABLE/**/tasks;--",
    "100%",
    "%s",
    "a:b:c",
    ":1",
    "?",
    "a*b?[c]",
    "\\",
    "/",
    "../..",
    "$1",
    "$(x)",
    "null",
    "None",
    "0",
    "-1",
    "1e9",
    "(1,2)",
    "a,b",
    "a|b",
    "a=b&c",
    "<b>",
    "é",
    "e\u0301",
    "ÅNGSTRÖM",
    "задача",
    "任务",
    "مهمة",
    "\U0001f600",
    "\U0001f469\U0001f3fd",
    "x" * 128,
    "\U0001f600" * 128,
]


class UnusualTextCases(Cases):
    """Strange text."""

    @pytest.mark.parametrize("word", WORDS, ids=ascii)
    async def test_strange_ids_and_queues_are_only_names(self, broker: Broker, word: str) -> None:
        """Quotes, wildcards, emoji: a task so named, in a queue so named, lives like any other."""
        task = a_task(id=word, queue=word, name=word, retention=60, headers={word: word})
        await put(broker, task, a_task(queue="bystander"))
        assert ids_of(await browse_all(broker, State.PENDING, queue=word)) == [word]
        claim = await take_one(broker, word)
        assert (claim.task.spec, claim.lease.id, claim.lease.queue) == (task, word, word)
        await broker.extend([claim.lease], until=NOW + 60)
        assert await end(broker, claim, Succeeded(word.encode(), word)) == Settled(State.COMPLETED)
        stored = await stored_task(broker, task)
        assert (stored.result, stored.result_type) == (word.encode(), word)
        assert await execute_on(broker, task, Deleted()) == Moved(State.GONE)
        assert await broker.count() == {"bystander": {State.PENDING: 1}}

    @pytest.mark.parametrize("letter", ["x", "ü", "任", "\U0001f600"])
    async def test_texts_may_be_as_long_as_is_documented(self, broker: Broker, letter: str) -> None:
        """Each field, in characters, not in bytes, and all of them together."""
        task = a_task(
            id=letter * MAX_ID,
            name=letter * MAX_NAME,
            queue=letter * MAX_QUEUE,
            content_type=letter * MAX_NAME,
            backoff=letter * MAX_NAME,
            tags=tuple(f"{n}{letter * (MAX_TAG - 1)}" for n in range(MAX_TAGS)),
            headers={letter * 1_000: letter * 10_000},
            retention=60,
        )
        if Capability.UNIQUE in broker.capabilities:
            task = evolve(task, unique_key=letter * MAX_ID)
        claim = await a_claimed(broker, task)
        assert claim.task.spec == task
        error, message = letter * 10_000, letter * 500
        failed = Failed(error, NOW, worker=letter * 200, traceback=letter * 100_000)
        update = DetailsUpdate(claim.lease, Progress(NOW, 0.5, message))
        assert list(await broker.save_details([update])) == [DetailsSaved()]
        await end(broker, claim, failed)
        assert (await stored_task(broker, task)).error == error
        (details,) = await broker.details(task.queue, [task.id])
        assert details is not None
        assert details.progress == Progress(NOW, 0.5, message)
        assert details.errors == (AttemptError(NOW, 1, error, letter * 200, letter * 100_000),)
        await end(broker, await take_one(broker, task.queue), Succeeded(b"", letter * MAX_NAME))
        stored = await stored_task(broker, task)
        assert (stored.spec, stored.result_type) == (task, letter * MAX_NAME)
        for command in (Archived(error), Cancelled(error)):
            reason = a_task()
            await put(broker, reason)
            await execute_on(broker, reason, command)
            assert (await stored_task(broker, reason)).error == error

    async def test_names_that_look_alike_are_different(self, broker: Broker) -> None:
        """Case, accents and composition tell ids apart: they are compared as they were written."""
        looks = ["a", "A", "é", "e\u0301", "ss", "ß", "1", "01", "1.0"]
        looks += ["x" * 255 + "a", "x" * 255 + "b", "a" + "x" * 255, "b" + "x" * 255]
        await put(broker, *(a_task(id=look) for look in looks))
        assert ids(await take(broker)) == looks
        queues = [*looks[:9], "x" * 127 + "a", "x" * 127 + "b", "a" + "x" * 127, "b" + "x" * 127]
        tasks = [a_task(queue=queue) for queue in queues]
        await put(broker, *tasks)
        for task in tasks:
            assert ids(await take(broker, 100, task.queue)) == [task.id]

    async def test_reasons_may_be_any_text(self, broker: Broker) -> None:
        """An operator may say why in any script, over several lines."""
        reason = "weil\n'es' \"so\" %s ist \U0001f600"
        await put(broker, task := a_task())
        await execute_on(broker, task, Archived(reason))
        assert (await stored_task(broker, task)).error == reason

    async def test_the_numbers_at_the_edges_come_back(self, broker: Broker) -> None:
        """The largest budgets, priorities and moments that a task may have are kept."""
        last = LAST_MOMENT
        task = a_task(
            priority=1000,
            max_retry=MAX_BUDGET,
            max_crashes=MAX_BUDGET,
            due=last - 1,
            expires=last,
            deadline=last,
            timeout=last,
            retention=last,
        )
        await put(broker, task, a_task(priority=-1000))
        assert (await stored_task(broker, task)).spec == task

    async def test_a_lease_may_end_in_the_past(self, broker: Broker) -> None:
        """A lease that has run out when it is given is taken back by the next sweep."""
        await put(broker, a_task())
        assert len(await take(broker, now=NOW, until=NOW - 1)) == 1
        assert (await sweep_all(broker)).crashed == 1


class LargePayloadCases(Cases):
    """Payloads, results and headers from none to a mebibyte."""

    async def test_a_payload_and_a_result_may_be_a_mebibyte(self, broker: Broker) -> None:
        """A mebibyte of any bytes comes back as it was, both ways."""
        blob = bytes(range(256)) * 4_096
        claim = await a_claimed(broker, a_task(payload=blob, retention=60))
        assert claim.task.spec.payload == blob
        await broker.save_details([DetailsUpdate(claim.lease, saved=blob)])
        await end(broker, claim, Succeeded(blob[::-1], "a/b"))
        assert (await stored_task(broker, claim.task.spec)).result == blob[::-1]
        (details,) = await broker.details("default", [claim.task.id])
        assert details == Details(saved=blob)

    async def test_an_empty_payload_is_a_payload(self, broker: Broker) -> None:
        """No bytes are bytes."""
        await put(broker, a_task(payload=b""))
        assert (await take_one(broker)).task.spec.payload == b""

    async def test_a_task_may_have_many_headers(self, broker: Broker) -> None:
        """A hundred headers come back as they were."""
        task = a_task(headers={f"header-{n}": "v" * n for n in range(100)})
        await put(broker, task)
        assert (await take_one(broker)).task.spec.headers == task.headers


class BulkCases(Cases):
    """Batches of ten thousand tasks and more."""

    async def test_ten_thousand_tasks_go_all_the_way_in_single_batches(
        self, broker: Broker
    ) -> None:
        """Ten thousand tasks are enqueued, claimed, renewed, shown and settled in one call each."""
        tasks = some_tasks(10_000)
        await put(broker, *tasks)
        claims = await take(broker, 10_000)
        assert ids(claims) == ids_of(tasks)
        leases = [claim.lease for claim in claims]
        assert len(set(await broker.extend(leases, until=NOW + 60))) == 10_000
        assert None not in await broker.get("default", ids_of(tasks))
        answers = await broker.settle([Verdict(lease, Succeeded()) for lease in leases], now=NOW)
        assert set(answers) == {Settled(State.GONE)}
        assert await broker.count() == {}

    async def test_ten_thousand_tasks_of_a_lost_worker_come_back(self, broker: Broker) -> None:
        """A sweep whose limit is large takes back as many in one call."""
        await put(broker, *some_tasks(10_000))
        await take(broker, 10_000)
        assert (await sweep_all(broker, limit=20_000, now=NOW + 60)).crashed == 10_000
        assert await broker.count() == {"default": {State.PENDING: 10_000}}

    async def test_twenty_thousand_old_tasks_are_trimmed_in_bounded_sweeps(self) -> None:
        """However much there is to forget, each sweep forgets its limit and says there is more."""
        async with self.opened(RetentionPolicy(age=10.0)) as broker:
            tasks = some_tasks(20_000)
            await put(broker, *tasks)
            moved = await broker.execute("default", ids_of(tasks), Archived(), now=NOW)
            assert set(moved) == {Moved(State.ARCHIVED)}
            for left in (14_000, 8_000, 2_000):
                swept = await sweep_all(broker, limit=6_000, now=NOW + 60)
                assert (swept.trimmed, swept.more) == (6_000, True)
                assert await broker.count() == {"default": {State.ARCHIVED: left}}
            assert await sweep_all(broker, limit=6_000, now=NOW + 60) == Swept(trimmed=2_000)
            await nothing_is_left(broker, *tasks[::5_000])

    async def test_an_archive_past_its_count_is_trimmed_to_it(self) -> None:
        """Of twelve thousand dead tasks the last two thousand stay, and no record of the others."""
        async with self.opened(RetentionPolicy(count=2_000)) as broker:
            tasks = some_tasks(12_000)
            await _reject(broker, tasks[:10_000], now=NOW)
            await _reject(broker, tasks[10_000:], now=NOW + 1)
            assert (await sweep_all(broker, limit=50_000, now=NOW + 2)).trimmed == 10_000
            assert await broker.count() == {"default": {State.DEAD: 2_000}}
            found = await broker.get("default", ids_of(tasks))
            assert [task is None for task in found] == [True] * 10_000 + [False] * 2_000


async def _reject(broker: Broker, tasks: list[NewTask], *, now: float) -> None:
    await put(broker, *tasks)
    claims = await take(broker, len(tasks))
    await broker.settle([Verdict(claim.lease, Rejected("no")) for claim in claims], now=now)
