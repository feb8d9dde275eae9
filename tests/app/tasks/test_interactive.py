"""Declarations that somebody who types makes again: they take the place of those before."""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcore import InvalidOption, Qcore
from qcore.app.tasks.default_name import default_name
from qcore.periodic import PeriodicTask
from qcore.testing import ManualClock, drain, drain_sync

CELL = """
@q.lifespan
async def life():
    log.append(f"life {n}")
    yield

@q.middleware
async def outer(ctx, run):
    log.append(f"middleware {n}")
    return await run(ctx)

@q.around
def around(ctx):
    log.append(f"around {n}")
    yield

@q.on_error
def oops(ctx, error):
    log.append(f"hook {n}")

@q.enqueue_middleware
async def outwards(tasks, send):
    log.append(f"enqueue {n}")
    return await send(tasks)
"""
TASKS = """
@q.every(60 * n)
@q.task("add", max_retry=0)
async def add(ctx):
    log.append(f"add {n}")
    raise ValueError

@q.periodic_provider
def provide():
    return []

@q.aggregator("group:")
def aggregate(group, tasks):
    return add.call()
"""


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have somebody type at this interpreter."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)


@pytest.fixture
def q() -> Qcore:
    """Return a queue in memory."""
    return Qcore("memory://", clock=ManualClock(), instruments=[])


@pytest.fixture
def run(q: Qcore) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a cell, in the namespace of the module `__main__`."""
    namespace: dict[str, Any] = {"__name__": "__main__", "q": q, "log": [], "n": 0}

    def cell(source: str, **names: Any) -> dict[str, Any]:
        namespace.update(names)
        exec(compile(source, f"<cell {len(source)}>", "exec"), namespace)  # noqa: S102
        return namespace

    return cell


@pytest.mark.usefixtures("prompt")
async def test_a_cell_that_is_run_again_takes_the_place_of_all_that_it_declares(
    q: Qcore, run: Callable[..., dict[str, Any]]
) -> None:
    """Nothing is there twice, and nothing of before is left."""
    for n in (1, 2):
        run(CELL, n=n)
        run(TASKS, n=n)
    log = run("", n=2)["log"]
    await run("")["add"].enqueue()
    await drain(q, jump=False)
    assert log == ["enqueue 2", "life 2", "middleware 2", "around 2", "add 2", "hook 2"]
    [declared] = q.declarations().tasks
    assert isinstance(declared.task, PeriodicTask)
    assert "120" in str(declared.task.schedule)
    assert len(q.declarations().providers) == 1
    assert len(list(q.aggregators)) == 1


@pytest.mark.usefixtures("prompt")
async def test_a_worker_that_runs_has_what_a_cell_declares_anew(
    q: Qcore, run: Callable[..., dict[str, Any]]
) -> None:
    """Its next run is of the new handler, inside the new around and middleware."""
    run(CELL, n=1)
    run(TASKS, n=1)
    own = Qcore("memory://", instruments=[])
    with q.swapped(broker=own.broker, clock=own.clock):
        async with q.running():
            run(CELL, n=2)
            log = run("", n=2)["log"]
            run("@q.task('add', retention=60)\nasync def add(ctx):\n    return n\n", n=3)
            run(CELL.replace('f"around {n}"', "'around again'"))
            assert await (await run("")["add"].enqueue()).result(timeout=30) == 3
    await own.close()
    assert "around again" in log
    assert log.count("around 1") == 0


@pytest.mark.usefixtures("prompt")
def test_a_task_of_a_cell_needs_no_name(q: Qcore, run: Callable[..., dict[str, Any]]) -> None:
    """It is run where it is declared: there is no module that a worker could import."""
    for _ in range(2):
        run("@q.task\nasync def add(ctx): ...\n")
    assert [each.name for each in q.handlers()] == ["__main__.add"]


@pytest.mark.usefixtures("prompt")
def test_another_module_does_not_take_the_place_of_a_cells_handler(
    q: Qcore, run: Callable[..., dict[str, Any]]
) -> None:
    """Two that have one name are a mistake there, too; a module that is reloaded is not another."""
    run("@q.task('add')\nasync def add(ctx): ...\n")
    elsewhere: dict[str, Any] = {"__name__": "elsewhere", "q": q}
    source = "@q.task('{}')\ndef mail(ctx): ...\n"
    with pytest.raises(InvalidOption, match="'add' has a handler already"):
        exec(source.format("add"), elsewhere)  # noqa: S102
    for _ in range(2):
        exec(source.format("mail"), elsewhere)  # noqa: S102


@pytest.mark.usefixtures("prompt")
def test_what_cannot_be_told_apart_is_added(q: Qcore, run: Callable[..., dict[str, Any]]) -> None:
    """Functions that one function makes may differ in what they enclose, and lambdas are many."""
    run(
        "from contextlib import nullcontext\n"
        "def made(x):\n"
        "    def around(ctx):\n"
        "        yield x\n"
        "    return around\n"
        "q.around(made(1))\n"
        "q.around(made(2))\n"
        "q.around(lambda ctx: nullcontext(1))\n"
        "q.around(lambda ctx: nullcontext(2))\n"
    )
    assert len(q.node.arounds) == 4


@pytest.mark.usefixtures("prompt")
def test_a_function_that_is_registered_twice_counts_once(q: Qcore) -> None:
    """Also an object without a name, and what a partial is of."""

    class Object:
        async def __call__(self, ctx: Any, run: Any) -> Any: ...

    one, other = Object(), Object()
    for each in (one, other, one, functools.partial(one)):
        q.middleware(each)
    assert q.middlewares[:2] == [one, other]
    assert len(q.middlewares) == 3


@pytest.mark.usefixtures("prompt")
def test_a_handler_in_a_process_belongs_into_a_module(
    q: Qcore, run: Callable[..., dict[str, Any]]
) -> None:
    """A child process has no cells."""
    with pytest.raises(InvalidOption, match=r"declared where somebody types.*function of a module"):
        run("@q.task('add', process=True)\ndef add(ctx): ...\n")


def test_elsewhere_a_second_declaration_is_a_mistake(
    q: Qcore, run: Callable[..., dict[str, Any]]
) -> None:
    """In a script, whose module is `__main__`, too."""
    run("@q.task('add')\nasync def add(ctx): ...\n")
    with pytest.raises(InvalidOption, match="'add' has a handler already"):
        run("@q.task('add')\nasync def add(ctx): ...\n")
    run("def around(ctx): yield\nq.around(around)\nq.around(around)\n")
    assert len(q.node.arounds) == 2


def test_python_itself_says_that_somebody_types() -> None:
    """Its prompt reads what a pipe says, here: a definition, and the same again."""
    typed = (
        "from qcore import Qcore\n"
        "q = Qcore('memory://', instruments=[])\n"
        "@q.task\n"
        "def add(ctx): return 1\n"
        "\n"
        "@q.task\n"
        "def add(ctx): return 2\n"
        "\n"
        "print(add.name, add(None), len(q.handlers()))\n"
    )
    shell = subprocess.run(
        [sys.executable, "-i", "-q"], input=typed, capture_output=True, text=True, check=False
    )
    assert shell.stdout.split() == ["__main__.add", "2", "1"], shell.stderr


@pytest.mark.usefixtures("prompt")
def test_what_is_typed_after_a_script_is_not_of_its_module(tmp_path: Path) -> None:
    """`python -i jobs.py`, `python -m asyncio` and `%run` leave a file's name in `__main__`."""
    file = str(tmp_path / "jobs.py")
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": file}
    source = "def send(ctx): ..."
    for name, expected in ((file, "jobs.send"), ("<stdin>", "__main__.send")):
        exec(compile(source, name, "exec"), namespace)  # noqa: S102
        assert default_name(namespace["send"]) == expected


async def test_drain_sync_says_what_to_await(q: Qcore) -> None:
    """In a notebook, as in a coroutine, a loop runs already."""
    with pytest.raises(InvalidOption, match=r"where an event loop runs.*await drain\(q\)"):
        drain_sync(q)
