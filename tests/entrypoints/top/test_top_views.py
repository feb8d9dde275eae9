"""What the views of `qcore top` show, and where keys lead."""

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.periodic.editing import added
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.schedules.texts import schedule_from
from qcore.domain.states import State
from qcore.domain.task import Claim, Verdict
from qcore.domain.transitions import Failed, Rejected
from qcore.domain.workers import RunningTask
from qcore.entrypoints.top.keys import KEYS
from qcore.testing.builders import NOW, a_demand, a_task, a_worker
from qcore.testing.entries import an_entry, write
from tests.entrypoints.top.kit import NARROW, WIDE, shown

SIZES = [NARROW, WIDE]


async def claimed(broker: MemoryBroker, queue: str, number: int = 1) -> list[Claim]:
    """Claim tasks of a queue."""
    demand = a_demand(number, **{queue: number})
    return [*await broker.claim(demand, now=NOW, until=NOW + 30)]


async def a_store() -> MemoryBroker:
    """Return a store with two queues, a failed task, one that runs, and a worker."""
    broker = MemoryBroker()
    await broker.enqueue(
        [a_task(id=f"m{n}", name="email:welcome", queue="mail") for n in range(4)], now=NOW
    )
    await broker.enqueue([a_task(id="s0", name="sms:send", queue="sms")], now=NOW)
    failed, runs = await claimed(broker, "mail", 2)
    error = Rejected("no mailbox of user 7", worker="worker-a", traceback="Traceback: line 1")
    await broker.settle([Verdict(failed.lease, error, waited=1.0, ran=2.0)], now=NOW)
    await broker.save_details([DetailsUpdate(runs.lease, progress=Progress(NOW, 0.5, "half"))])
    run = RunningTask("mail", runs.task.id, runs.task.name, NOW - 12)
    await broker.announce(
        a_worker(name="worker-a", queues={"mail": 1}, in_hand=1, running=(run,), handlers=("",))
    )
    return broker


@pytest.mark.parametrize("size", SIZES)
async def test_the_overview_shows_queues_workers_and_what_runs(size: tuple[int, int]) -> None:
    """In a small terminal and in a large one; no line is wider than it."""
    async with shown(await a_store(), size=size) as screen:
        assert "3 pending · 1 active · 1 dead" in screen.text
        assert "1 worker" in screen.text
        [mail] = [line for line in screen.lines if "mail " in line and "worker" not in line]
        assert mail.split()[3:6] == ["2", "1", "0"] if size == NARROW else "2" in mail.split()
        [run] = [line for line in screen.lines if "12s" in line]
        assert run.split() == ["email:welcome", "m1", "12s", "mail", "worker-a"]
        assert all(len(line) <= size[0] for line in screen.lines)
        assert len(screen.lines) == size[1]


async def test_the_cost_of_a_reading_is_told() -> None:
    """In calls to the store: a few, and at most three for each of the two queues."""
    async with shown(await a_store()) as screen:
        calls = screen.app.refresher.calls
        assert 2 < calls < 5 + 2 * 3
        assert screen.lines[-1].endswith(f"{calls} calls <1ms")


async def test_a_store_is_read_once_a_second_and_not_while_it_is_held() -> None:
    """A held picture says so, and goes on when it is let go."""
    broker = await a_store()
    async with shown(broker) as screen:
        await broker.enqueue([a_task(queue="sms")], now=NOW)
        await screen.wait(0.5)
        assert "3 pending" in screen.text
        await screen.wait(0.5)
        assert "4 pending" in screen.text
        await screen.press("space")
        assert "HELD" in screen.text
        await broker.enqueue([a_task(queue="sms")], now=NOW)
        await screen.wait(60)
        assert "4 pending" in screen.text
        await screen.press("space")
        assert "5 pending" in screen.text
        assert "HELD" not in screen.text


async def test_enter_leads_to_the_tasks_of_a_queue_and_to_one_task() -> None:
    """And Esc leads back, step by step; the cursor is where it was."""
    async with shown(await a_store()) as screen:
        await screen.press("enter")
        assert 'queue:"mail"' in screen.lines[1]
        assert [each in screen.lines[2] for each in ("all 4", "pending 2", "active 1", "dead 1")]
        await screen.press("G", "enter")
        assert "no mailbox of user 7" in screen.text
        assert "Traceback: line 1" in screen.text
        await screen.press("escape", "escape")
        assert screen.lines[1].startswith("queues")
        await screen.press("j")
        assert "sms" in screen.current


async def test_tabs_show_the_tasks_of_a_state() -> None:
    """To the right and to the left, also by the keys of vi; a state without tasks has no tab."""
    async with shown(await a_store()) as screen:
        await screen.press("enter", "right", "l", "l")
        assert [line.split()[0] for line in screen.lines[4:5]] == ["▸"]
        assert "no mailbox" in screen.current
        await screen.press("h", "left")
        assert "pending" in screen.current
        assert "scheduled" not in screen.lines[2]


async def test_a_task_shows_its_progress() -> None:
    """As a bar with its message."""
    async with shown(await a_store()) as screen:
        await screen.press("2", "slash")
        await screen.type("state:active")
        await screen.press("enter")
        assert "████████████░░░░░░░░░░░░ 50% half" in screen.text


async def test_workers_are_shown_with_what_their_slots_run() -> None:
    """And Enter on a slot shows its task."""
    async with shown(await a_store()) as screen:
        await screen.press("3")
        assert "1 workers, 1 tasks in hand, of 100 at most" in screen.text
        await screen.press("down")
        assert screen.current.split()[1:5] == ["email:welcome", "m1", "runs", "12s"]
        await screen.press("enter")
        assert "50% half" in screen.text


async def test_a_worker_that_is_no_longer_heard_of_is_silent() -> None:
    """Its age grows from one reading to the next."""
    async with shown(await a_store()) as screen:
        await screen.press("3")
        await screen.wait(9)
        assert "silent" in screen.current
        assert "9s" in screen.current


async def test_errors_are_shown_by_cause() -> None:
    """And Enter shows the tasks of one."""
    async with shown(await a_store()) as screen:
        await screen.press("4")
        assert "email:welcome no mailbox of user #" in " ".join(screen.current.split())
        await screen.press("enter")
        assert "m0" in screen.current


async def test_periodic_tasks_are_shown_with_their_next_tick() -> None:
    """Page by page."""
    broker = MemoryBroker()
    for n in range(30):
        entry = an_entry(f"report-{n:02}", schedule="0 * * * *")
        await write(broker, added(None, entry, schedule_from(entry.schedule), NOW))
    async with shown(broker) as screen:
        await screen.press("5")
        assert "report-00 default active in 60min" in " ".join(screen.current.split())
        await screen.press("pagedown", "pagedown")
        assert "page 2" in screen.text
        await screen.press("end")
        assert "report-29" in screen.current


async def test_a_filter_is_a_query() -> None:
    """It is the same language as everywhere; Esc takes it away."""
    async with shown(await a_store()) as screen:
        await screen.press("2", "slash")
        await screen.type("state:dead error:mailbox")
        assert "m0" in screen.current
        assert "m1" not in screen.text
        await screen.press("escape")
        assert "m1" in screen.text


async def test_a_filter_that_makes_no_sense_says_where() -> None:
    """It stays to be mended; Esc leaves it."""
    async with shown(await a_store()) as screen:
        await screen.press("slash")
        await screen.type("state:ded")
        await screen.wait(1)
        assert "the query has 'ded' at character 7: expected" in screen.text
        await screen.press("escape")
        assert screen.lines[1].startswith("queues")


async def test_pages_are_as_long_as_the_screen() -> None:
    """So none is longer to read than to look at; the cursor at its end leads to the next one."""
    broker = MemoryBroker()
    names = [f"q{n:03}" for n in range(100)]
    await broker.enqueue([a_task(queue=name) for name in names], now=NOW)
    async with shown(broker) as screen:
        rows = [line for line in screen.lines if " q0" in line]
        assert len(rows) == 19
        await screen.press("end", "down")
        assert "q019" in screen.current
        await screen.press("up")
        assert "q000" in screen.text
        calls = screen.app.refresher.calls
        assert calls < 19 + 10


async def test_an_empty_store_says_what_to_do() -> None:
    """In each of the views."""
    async with shown() as screen:
        assert "no queues yet: enqueue a task, or start a worker" in screen.text
        for key, told in (
            ("2", "no tasks are stored"),
            ("3", "no worker is there: start one with qcore worker module:q"),
            ("4", "no task has failed"),
            ("5", "no periodic tasks: @q.periodic(…) declares one"),
        ):
            await screen.press(key)
            assert told in screen.text


async def test_the_help_lists_every_key() -> None:
    """With what it does."""
    async with shown(size=WIDE) as screen:
        await screen.press("question_mark")
        for key in KEYS:
            assert f"{key.shown} " in screen.text
            assert key.does in screen.text


async def test_what_a_terminal_would_obey_is_shown_as_text() -> None:
    """Names, ids, arguments and errors come from others."""
    broker, evil = MemoryBroker(), "\x1b[2J[red]\x07"
    task = a_task(id="t[b]", name="n[red]", queue="mail", payload=rb'{"a": "\u001b[2J"}')
    await broker.enqueue([task], now=NOW)
    [claim] = await claimed(broker, "mail")
    failed = Failed(f"e{evil}", again_at=NOW + 60)
    await broker.settle([Verdict(claim.lease, failed)], now=NOW)
    async with shown(broker, size=WIDE) as screen:
        for key in ("2", "enter", "4"):
            await screen.press(key)
            assert "\x1b" not in screen.text
            assert "\x07" not in screen.text
            assert r"e\x1b[" in screen.text
            assert r"J[red]\x07" in screen.text
            assert "n[red]" in screen.text


async def test_a_terminal_may_become_another_size() -> None:
    """What does not fit is left out, and comes back."""
    async with shown(await a_store()) as screen:
        assert "P95" not in screen.text
        await screen.resize(*WIDE)
        assert "RUN P95" in screen.text
        await screen.resize(30, 8)
        assert "mail" in screen.text


async def test_a_name_and_the_command_can_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command shows the same in a shell."""
    async with shown(await a_store()) as screen:
        copied: list[str] = []
        monkeypatch.setattr(screen.app, "copy_to_clipboard", copied.append)
        await screen.press("enter", "G", "y", "Y", "enter", "Y", "4", "y", "Y")
        assert copied[:2] == ["m0", "qcore tasks list 'queue:\"mail\"'"]
        assert copied[2] == "qcore task show m0 --queue mail"
        assert copied[3].startswith("state:retry,archived,dead fingerprint:")
        assert copied[4] == "qcore errors"


def test_no_key_does_two_things() -> None:
    """A table with a key twice would hide one of its meanings."""
    keys = [key for each in KEYS for key in each.keys]
    assert len({*keys}) == len(keys)


def test_every_state_has_a_mark_of_its_own() -> None:
    """So that a bar can be read without colours."""
    from qcore.entrypoints.top.cells import MARKS, STYLES

    states = {state for state in State if state is not State.GONE}
    assert MARKS.keys() == STYLES.keys() == states
    assert len({*MARKS.values()}) == len(states)
