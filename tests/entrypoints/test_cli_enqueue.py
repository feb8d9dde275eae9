import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore import Context, Qcore
from qcore.testing import drain
from tests.entrypoints.cli_kit import document_of, invoke, working_in


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of our own, whose store is made when it is first used."""
    with working_in(tmp_path, monkeypatch):
        yield tmp_path


def test_a_task_is_enqueued_for_a_handler() -> None:
    """It arrives as if code had called it."""
    printed = invoke("enqueue", "greet", "whom=Ann", "times=2").stdout.strip()
    q, seen = Qcore(instruments=[]), list[tuple[str, str, int]]()

    @q.task("greet")
    def greet(ctx: Context, whom: str, times: int) -> None:
        seen.append((ctx.task.id, whom, times))

    async def run() -> None:
        async with q:
            await drain(q, jump=False)

    asyncio.run(run())
    assert seen == [(printed, "Ann", 2)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ('"7"', "7"),
        ("ann", "ann"),
        ("", ""),
        ("a=b", "a=b"),
        ("true", True),
        ("null", None),
        ('{"to": ["ann"]}', {"to": ["ann"]}),
        ("NaN", "NaN"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_is_json_if_it_can_be(text: str, value: object) -> None:
    """Any other text is text."""
    assert invoke("enqueue", "t", f"x={text}", "--id", "one").exit_code == 0
    q = Qcore(instruments=[])
    task = q.blocking_inspector.get("default", "one")
    assert task is not None
    assert json.loads(task.spec.payload) == {"x": value}
    q.blocking.close()


def test_a_task_can_be_delayed_and_named() -> None:
    """JSON says where it is."""
    arguments = ("enqueue", "t", "--queue", "low", "--id", "one", "--delay", "2h")
    told = {"queue": "low", "id": "one", "name": "t", "state": "scheduled"}
    assert document_of(*arguments) == {**told, "new": True}
    assert document_of(*arguments) == {**told, "new": False}


def test_that_there_is_such_a_task_is_told() -> None:
    """It is no error: a script that is run again does no harm."""
    invoke("enqueue", "t", "--id", "one")
    again = invoke("enqueue", "t", "--id", "one")
    assert (again.exit_code, again.stdout) == (0, "one\n")
    assert again.stderr == "there is such a task already: it is pending\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["whom"], "'whom': expected key=value"),
        (["=ann"], "'=ann': expected key=value"),
        (["a=1", "a=2"], "the argument 'a' is given twice"),
        (["--id", "a b"], "id is 'a b'"),
        (["--queue", "a b"], "queue is 'a b'"),
        (["--delay", "-1s"], "expected such as 2h"),
        (["x=\udcff"], "cannot be encoded"),
    ],
)
def test_what_makes_no_sense_is_not_enqueued(home: Path, arguments: list[str], said: str) -> None:
    """One line says why."""
    result = invoke("enqueue", "greet", *arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line
    q = Qcore(instruments=[])
    assert q.blocking_inspector.totals() == {}
    q.blocking.close()
