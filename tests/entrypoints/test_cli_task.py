import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore import Context, Qcore, SkipRetry
from qcore.app.calls.chain_steps import STEP_HEADER
from qcore.domain.origin import Origin, OriginKind, following, with_origin
from qcore.domain.workers import RunningTask
from qcore.entrypoints.written_times import timestamp
from qcore.ports import worker_registry_of
from qcore.testing import drain
from qcore.testing.builders import a_demand, a_task, a_worker
from tests.entrypoints.cli_kit import (
    a_store_in,
    cells_of,
    document_of,
    invoke,
    sit_at_a_terminal,
)


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with a store that has tasks in two queues, one of which has failed."""
    with a_store_in(tmp_path, monkeypatch) as made:

        @made.task("mail", retention=3600)
        def mail(ctx: Context, to: str) -> str:
            ctx.progress(0.5, "half")
            if to == "nobody":
                raise SkipRetry("no such mailbox")
            return f"sent to {to}"

        mail.using(task_id="done").enqueue_sync(to="ann")
        mail.using(task_id="failed").enqueue_sync(to="nobody")
        asyncio.run(drained(made))
        made.blocking.enqueue(a_task(id="a", queue="out", payload=b'{"to":["ann"]}'))
        made.blocking.enqueue(a_task(id="b", queue="in", tags=("vip",)))
        for queue in ("in", "out"):
            made.blocking.enqueue(a_task(id="twin", queue=queue))
        yield made


async def drained(q: Qcore) -> None:
    """Run what is there."""
    async with q:
        await drain(q, jump=False)


def test_a_task_is_shown_with_its_story() -> None:
    """What was asked for, its errors, its progress."""
    lines = dict(cells_of("task", "show", "failed"))
    assert lines["state"] == "dead"
    assert lines["arguments"] == '{"to": "nobody"}'
    assert lines["error"] == "no such mailbox"
    assert lines["progress"] == "50% half"
    assert lines["error of run 1"].endswith(": no such mailbox")


def test_a_task_is_shown_with_its_result() -> None:
    """As long as it is kept."""
    assert dict(cells_of("task", "show", "done"))["result"] == '"sent to ann"'
    done, failed = document_of("task", "show", "done", "failed")["tasks"]
    assert (done["result"], done["result_base64"]) == ("sent to ann", None)
    assert failed["result"] is None


def test_a_task_is_shown_with_what_it_came_from(q: Qcore) -> None:
    """As words, and as members of JSON; null where it came from nothing."""
    spec = with_origin(a_task(id="sum"), Origin(OriginKind.GROUP, "out", "ann", 3))
    q.blocking.enqueue(following(a_task(id="then", queue="out"), spec))
    q.blocking.enqueue(spec)
    assert dict(cells_of("task", "show", "then"))["origin"] == "after sum in default"
    assert dict(cells_of("task", "show", "sum"))["origin"] == "group ann in out, 3 tasks"
    made, other = document_of("task", "show", "sum", "a")["tasks"]
    assert made["origin"] == {"kind": "group", "queue": "out", "name": "ann", "members": 3}
    assert other["origin"] is None


def test_a_step_tells_which_it_is_and_how_its_chain_stands(q: Qcore) -> None:
    """A chain that has stopped looks different from one that goes on."""
    q.blocking.enqueue(a_task(id="step", headers={STEP_HEADER: "2/3"}))
    assert dict(cells_of("task", "show", "step"))["chain"] == "step 2 of 3, open"
    q.blocking_inspector.discard("default", ["step"])
    assert dict(cells_of("task", "show", "step"))["chain"] == "step 2 of 3, stopped"


def test_a_task_is_shown_with_what_it_waits_for() -> None:
    """Why it does not run, in a sentence."""
    assert dict(cells_of("task", "show", "a"))["waits as"] == "no worker serves the queue 'out'"


def test_a_task_that_runs_is_shown_with_its_worker(q: Qcore) -> None:
    """And since when it has run there; without it where no worker tells of the task."""
    now = q.clock.now()

    async def claimed_and_announced() -> None:
        async with q:
            await q.broker.claim(a_demand(2, out=2), now=now, until=now + 60)
            registry = worker_registry_of(q.broker)
            assert registry is not None
            run = RunningTask("out", "a", "mail", now)
            await registry.announce(
                a_worker(name="worker-1", running=(run,), seen=now, expires=now + 60)
            )

    asyncio.run(claimed_and_announced())
    [running, other] = document_of("task", "show", "a", "b")["tasks"]
    assert running["running"] == {"worker": "worker-1", "since": timestamp(now)}
    assert other["running"] is None
    assert dict(cells_of("task", "show", "a"))["runs on"] == f"worker-1 since {timestamp(now)}"
    assert "runs on" not in dict(cells_of("task", "show", "twin", "--queue", "out"))


def test_json_has_the_whole_story() -> None:
    """With arguments as data, and a word for each thing that keeps it from being run."""
    failed, waiting = document_of("task", "show", "failed", "a")["tasks"]
    assert failed["arguments"] == {"to": "nobody"}
    assert failed["progress"]["fraction"] == 0.5
    [error] = failed["errors"]
    assert (error["attempt"], error["error"]) == (1, "no such mailbox")
    assert failed["why_waiting"] == []
    assert [each["obstacle"] for each in waiting["why_waiting"]] == ["no_worker"]


@pytest.mark.parametrize("payload", [b"\x00\xff", b"9" * 5_000])
def test_arguments_that_cannot_be_read_are_shown_as_bytes(q: Qcore, payload: bytes) -> None:
    """The document is valid all the same."""
    q.blocking.enqueue(a_task(id="odd", payload=payload))
    [task] = document_of("task", "show", "odd")["tasks"]
    assert task["arguments"] is None
    assert task["payload_base64"]
    assert "cannot be read here" in dict(cells_of("task", "show", "odd"))["arguments"]


def test_deeply_nested_arguments_are_data_or_bytes(q: Qcore) -> None:
    """As Python can read and write them, which 3.14 can: the document is valid all the same."""
    q.blocking.enqueue(a_task(id="odd", payload=b"[" * 5_000 + b"]" * 5_000))
    [task] = document_of("task", "show", "odd")["tasks"]
    assert (task["arguments"] is None) == bool(task["payload_base64"])


def test_several_ids_are_moved_in_one_call(q: Qcore) -> None:
    """Wherever they are; each has an answer."""
    rows = cells_of("task", "cancel", "a", "b", "--reason", "not wanted")
    assert rows == [["out", "a", "done", "dead"], ["in", "b", "done", "dead"]]
    found = q.blocking_inspector.get("in", "b")
    assert found is not None
    assert found.error == "not wanted"


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        (["run", "failed"], "pending"),
        (["archive", "a"], "archived"),
        (["delete", "a"], "gone"),
        (["reschedule", "a", "--delay", "2h"], "scheduled"),
    ],
)
def test_a_task_is_moved(arguments: list[str], state: str) -> None:
    """JSON has the state in which it is then."""
    [task] = document_of("task", *arguments)["tasks"]
    assert (task["answer"], task["state"]) == ("done", state)


def test_a_move_that_is_not_allowed_is_an_error() -> None:
    """The state is named, and the other tasks are moved."""
    result = invoke("task", "cancel", "done", "a")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: not allowed to cancel: done is completed\n",
    )
    assert [row.split("\t")[2] for row in result.stdout.splitlines()] == ["not allowed", "done"]


@pytest.mark.parametrize("verb", ["show", "run", "watch"])
def test_an_id_that_no_task_has_is_an_exit_status(verb: str) -> None:
    """Of its own."""
    result = invoke("task", verb, "nobody")
    assert result.exit_code == 3
    assert "nobody" in result.stderr


def test_an_id_in_several_queues_is_not_guessed(q: Qcore) -> None:
    """The queue has to be named then; and no twin is moved."""
    result = invoke("task", "delete", "twin")
    assert result.exit_code == 2
    assert "in, out: name one with --queue" in result.stderr
    assert cells_of("task", "delete", "twin", "--queue", "in") == [["in", "twin", "done", "gone"]]
    assert q.blocking_inspector.get("out", "twin") is not None


def test_watching_ends_when_tasks_have_ended() -> None:
    """With the status of those that have failed."""
    assert cells_of("task", "watch", "done") == [["done", "completed", "50%", "half"]]
    result = invoke("task", "watch", "done", "failed", "--json")
    assert result.exit_code == 6
    assert result.stderr == "Error: failed is dead: no such mailbox\n"
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert {each["id"]: each["state"] for each in told} == {"done": "completed", "failed": "dead"}


def test_watching_what_is_not_there_is_one_line_of_json() -> None:
    """Who reads line by line can read the error, too."""
    [line] = invoke("task", "watch", "nobody", "--json").stdout.splitlines()
    assert json.loads(line)["error"]["status"] == 3


def test_watching_follows_a_task_to_its_end(q: Qcore) -> None:
    """A line for each change; here by somebody who cancels it meanwhile."""

    async def watched() -> str:
        watching = asyncio.create_task(asyncio.to_thread(invoke, "task", "watch", "a"))
        await asyncio.sleep(0)
        await q.inspector.cancel("out", ["a"])
        result = await watching
        await q.close()
        return result.stdout.splitlines()[-1]

    assert asyncio.run(watched()) == "a\tdead"


def test_the_time_to_watch_can_be_over() -> None:
    """Which is another exit status than that of a failure."""
    result = invoke("task", "watch", "a", "--timeout", "1ms")
    assert (result.exit_code, result.stderr) == (5, "Error: not ended after 0.001 seconds: a\n")


def test_progress_is_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it is full; of one task it is drawn in one line, of several in a line for each."""
    sit_at_a_terminal(monkeypatch)
    half = "█" * 10 + "░" * 10 + "  50%  half"
    assert invoke("task", "watch", "done").stdout == f"\rdone  completed  {half}\n"
    assert f"{half}\n" in invoke("task", "watch", "done", "failed").stdout


def test_a_story_tells_who_did_what_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest first; who that is, is a variable's or a flag's to say."""
    monkeypatch.setenv("QCORE_BY", "ann")
    invoke("task", "reschedule", "a", "--delay", "2h", "--reason", "not\nyet")
    invoke("task", "update", "a", "--priority", "4", "--by", "bob")
    told = [text for name, text in cells_of("task", "show", "a") if name == "operator"]
    assert [each.partition(" ")[2] for each in told] == [
        "bob, update priority",
        told[1].partition(" ")[2],
    ]
    assert told[1].endswith(": not yet")
    [task] = document_of("task", "show", "a")["tasks"]
    assert [(each["action"], each["by"], each["reason"]) for each in task["audit"]] == [
        ("reschedule", "ann", "not yet"),
        ("update", "bob", None),
    ]


def test_a_task_moves_to_another_queue(q: Qcore) -> None:
    """One that is not there, and one whose id is taken there, are told."""
    assert cells_of("task", "move", "a", "--to", "slow") == [["out", "a", "done", "pending"]]
    assert q.blocking_inspector.get("slow", "a") is not None
    q.blocking.enqueue(a_task(id="a", queue="out"))
    result = invoke("task", "move", "a", "--queue", "out", "--to", "slow", "--json")
    assert result.exit_code == 1
    assert result.stderr == "Error: not moved: a (id taken there)\n"
    (told,) = json.loads(result.stdout)["tasks"]
    assert told == {"queue": "out", "id": "a", "answer": "id_taken", "state": "pending"}
    assert invoke("task", "move", "nobody", "--to", "slow").exit_code == 3
