import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from qcore import Qcore, State
from qcore.entrypoints import cli
from qcore.entrypoints.cli.loading import load
from qcore.entrypoints.loop import run
from tests.entrypoints.cli_kit import invoke, lines_of, working_in, write

APPLICATION = """
from qcore import Context, Qcore

q = Qcore("sqlite:///tasks.db")
alone = Qcore("memory://")

class inner:
    queue = alone

@q.task("note", retention=60)
async def note(ctx: Context, n: int) -> int:
    ctx.log.info("noted", n=n)
    return n
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with an application, and leave no trace of it in this process."""
    write(tmp_path, "application", APPLICATION)
    with working_in(tmp_path, monkeypatch):
        yield tmp_path


# --- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["application"], "'application' names no queue: expected MODULE:NAME"),
        ([":q"], "':q' names no queue: expected MODULE:NAME"),
        (["application:"], "'application:' names no queue: expected MODULE:NAME"),
        (["../application:q"], "'../application:q' names a file: expected MODULE:NAME"),
        (["application.py:q"], "'application.py:q' names a file: expected MODULE:NAME"),
        ([".application:q"], "'.application:q' names no module: expected MODULE:NAME"),
        (["a..b:q"], "'a..b:q' names no module"),
        (["applic\0tion:q"], "'applic\\x00tion:q' names no module"),
        (["__main__:q"], "'__main__:q' names this command itself"),
        (["application:q."], "application has no 'q.': did you mean application:q"),
        (["nowhere:q"], "there is no module 'nowhere' in "),
        (["nowhere.tasks:q"], "there is no module 'nowhere' in "),
        (["application.tasks:q"], "there is no module 'application.tasks' in "),
        (
            ["application:queue"],
            "application has no 'queue': did you mean application:q or application:alone?",
        ),
        (["application:inner"], "application:inner is a type, no Qcore: did you mean"),
        (["application:note"], "application:note is a Handler, no Qcore: did you mean"),
        (["json:loads"], "json:loads cannot be called without arguments: missing a required"),
        (["application:q", "--queues", "a=0"], "the weight of 'a' is '0', no whole number from 1"),
        (["application:q", "--queues", "a=-1"], "the weight of 'a' is '-1'"),
        (["application:q", "--queues", "a=much"], "the weight of 'a' is 'much'"),
        (["application:q", "--queues", "a="], "the weight of 'a' is ''"),
        (["application:q", "--queues", f"a={'9' * 5000}"], "no whole number from 1"),
        (["application:q", "--queues", "a=1,a=2"], "names 'a' twice"),
        (["application:q", "--queues", "a,,b"], "queue is ''"),
        (["application:q", "--queues", ""], "queue is ''"),
        (["application:q", "--queues", "{a}"], "queue is '{a}'"),
        (["application:q", "--queues", "a b"], "queue is 'a b'"),
        (["application:q", "--concurrency", "0"], "concurrency is 0: expected a whole number"),
        (["application:q", "--threads", "0"], "threads is 0"),
        (["application:q", "--process-pool", "-1"], "process_pool is -1"),
        (["application:q", "--concurrency", "9" * 30], "a whole number from 1 to 1,000,000"),
        (["application:q", "--lease", "inf"], "lease is inf: expected more than 0 seconds"),
        (["application:q", "--lease", "nan"], "lease is nan"),
        (["application:q", "--grace", "inf"], "grace is inf: expected 0 or more seconds"),
        (["application:q", "--lease", "0"], "lease is 0.0: expected more than 0 seconds"),
        (["application:q", "--grace", "-1"], "grace is -1.0"),
    ],
    ids=lambda given: repr(" ".join(given))[:40] if isinstance(given, list) else "",
)
def test_a_worker_that_cannot_be_is_refused_in_one_line(arguments: list[str], message: str) -> None:
    """The line says what is wrong and what would be right; the exit status is 2."""
    result = invoke("worker", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_module_that_lacks_another_is_named_with_the_place(home: Path) -> None:
    """The line says which import failed, and where that stands."""
    write(home, "lacking", "import json\nimport nowhere_to_be_found\n")
    result = invoke("worker", "lacking:q")
    assert result.exit_code == 2
    assert "cannot import lacking: No module named 'nowhere_to_be_found'" in result.stderr
    assert "lacking.py, line 2" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_qcore_refuses_in_a_module_is_one_line(home: Path) -> None:
    """An error that says what to do needs no traceback."""
    write(home, "wrong", "from qcore import Qcore\nq = Qcore('nonsense://')\n")
    result = invoke("worker", "wrong:q")
    assert result.exit_code == 2
    assert "cannot import wrong: the URL 'nonsense://'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_module_that_breaks_is_shown_with_its_traceback(home: Path) -> None:
    """Whoever has to mend it wants to see where it broke; the last line says what it was."""
    write(home, "broken", "def half(n: int) -> float:\n    return 1 / n\n\nhalf(0)\n")
    result = invoke("worker", "broken:q")
    assert result.exit_code == 2
    assert "return 1 / n" in result.stderr
    assert result.stderr.splitlines()[-1] == (
        "Error: cannot import broken: ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit\n", "SystemExit"),
        ("exit()\n", "SystemExit"),
        ("import sys\nsys.exit('no\\nconfiguration')\n", "SystemExit: no configuration"),
        ("import click\nclick.Command('c').main(['--help'])\n", "SystemExit"),
    ],
    ids=["raised", "exit", "two lines", "a command"],
)
def test_a_module_that_ends_the_process_is_one_line(home: Path, text: str, said: str) -> None:
    """The line names the module, the exit and its place."""
    write(home, "leaving", text)
    result = invoke("worker", "leaving:q")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert f"cannot import leaving: it ends the process with {said}" in line
    assert f"leaving.py, line {len(text.splitlines())})" in line


@pytest.mark.parametrize("kind", ["asyncio.CancelledError", "KeyboardInterrupt", "GeneratorExit"])
def test_whatever_a_module_raises_is_named_in_the_last_line(home: Path, kind: str) -> None:
    """What is no Exception is an error like any other, where a module is imported."""
    write(home, "odd", f"import asyncio\nraise {kind}\n")
    result = invoke("worker", "odd:q")
    assert result.exit_code == 2
    name = kind.rpartition(".")[2]
    assert result.stderr.splitlines()[-1] == f"Error: cannot import odd: {name}"


def test_an_attribute_that_cannot_be_had_is_one_line(home: Path) -> None:
    """As with a module whose names are made when they are asked for."""
    write(home, "lazy", "def __getattr__(name):\n    raise RuntimeError('not today')\n")
    result = invoke("worker", "lazy:q")
    assert result.exit_code == 2
    assert result.stderr == "Error: cannot get 'q' of lazy: RuntimeError: not today\n"


def test_a_module_that_ends_the_process_when_it_is_asked_is_one_line(home: Path) -> None:
    """The command says so, and leaves with its own status."""
    write(home, "lazy", "def __getattr__(name):\n    raise SystemExit(4)\n")
    result = invoke("worker", "lazy:q")
    assert result.exit_code == 2
    assert result.stderr == "Error: cannot get 'q' of lazy: SystemExit: 4\n"


def test_an_error_that_ends_the_process_when_it_is_shown_is_named(home: Path) -> None:
    """A module may raise one whose class does anything."""
    text = """
        class Odd(Exception):
            @property
            def __class__(self):
                raise SystemExit(9)
        raise Odd("x")
    """
    write(home, "odd", dedent(text))
    result = invoke("worker", "odd:q")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "Error: cannot import odd: Odd: x"


@pytest.mark.parametrize("value", ["7", "None"])
def test_a_module_that_has_put_another_object_in_its_place_is_one_line(
    home: Path, value: str
) -> None:
    """Any object can be imported that way, and need not have what modules have."""
    name = f"replaced_by_{value}"
    write(home, name, f"import sys\nsys.modules[__name__] = {value}\n")
    result = invoke("worker", f"{name}:q")
    # the fixture knows those by their files
    del sys.modules[name]
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: the module {name} has no 'q'")
    assert len(result.stderr.splitlines()) == 1


def test_a_module_that_hides_behind_another_is_named(home: Path) -> None:
    """A file that is called as a module of Python's is not what that name imports."""
    write(home, "json", APPLICATION)
    result = invoke("worker", "json:q")
    assert result.exit_code == 2
    assert f"not {home / 'json.py'}, which needs another name" in result.stderr


def test_a_file_that_is_loaded_as_two_modules_is_refused(home: Path) -> None:
    """Each would have a queue of its own, and tasks under other names."""
    (home / "package").mkdir()
    write(home / "package", "__init__", "")
    write(home / "package", "tasks", APPLICATION)
    write(home / "package", "start", "from tasks import q\nimport package.tasks\n")
    sys.path.append(str(home / "package"))
    result = invoke("worker", "package.start:q")
    assert result.exit_code == 2
    assert "tasks.py is loaded as package.tasks and as tasks" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_for_tls_that_is_not_there_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for when the worker starts, not when the queue is made."""
    url = "rediss://127.0.0.1:1/0?ca=/nowhere/ca.pem"
    write(home, "secure", f"from qcore import Qcore\nq = Qcore('{url}')\n")
    monkeypatch.setenv("QCORE_URL", url)
    for arguments in (["worker", "secure:q", "--log-level", "error"], ["doctor"]):
        result = invoke(*arguments)
        assert result.exit_code == 2
        [line] = result.stderr.splitlines()
        assert "ca='/nowhere/ca.pem'" in line


@pytest.mark.parametrize("name", ["a%00b.db", f"{'a' * 300}.db"], ids=["NUL", "too long"])
def test_a_path_that_no_file_can_have_is_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whether the name or the operating system refuses it."""
    monkeypatch.setenv("QCORE_URL", f"sqlite:///{name}")
    write(Path.cwd(), "placed", "from qcore import Qcore\nq = Qcore()\n")
    result = invoke("worker", "placed:q", "--burst", "--log-level", "error")
    assert result.exit_code in {1, 2}
    assert len(result.stderr.splitlines()) == 1
    doctor = invoke("doctor")
    assert doctor.exit_code in {1, 2}
    assert "Traceback" not in doctor.output


def test_a_working_folder_that_was_removed_is_one_line(home: Path) -> None:
    """There is nothing to import from, and nowhere to make a file."""
    gone = home / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    for arguments in (["worker", "application:q"], ["doctor", "--url", "sqlite:///tasks.db"]):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "no working folder" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_lifespan_that_raises_is_shown_with_its_traceback(home: Path) -> None:
    """The last line says what it was, and the log does not say it once more."""
    write(
        home,
        "failing",
        "from qcore import Qcore\nq = Qcore('memory://')\n@q.lifespan\nasync def pool():\n"
        "    raise OSError('no database')\n    yield\n",
    )
    result = invoke("worker", "failing:q", "--log-level", "error")
    assert result.exit_code == 1
    assert "in pool" in result.stderr
    assert result.stderr.splitlines()[-1] == "Error: the worker failed: OSError: no database"
    assert "worker failed" not in result.stderr.splitlines()[0]


def test_a_store_that_cannot_be_used_is_one_line(home: Path) -> None:
    """The exit status is 1: nothing was wrong with the command."""
    (home / "tasks.db").write_text("Dear Sir or Madam, " * 100)
    result = invoke("worker", "application:q", "--burst", "--log-level", "error")
    assert result.exit_code == 1
    assert "no SQLite database" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_click_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is an extra, and the error is one line."""
    for name in list(sys.modules):
        if name == "click" or name.startswith((f"{cli.__name__}.group", f"{cli.__name__}.bench")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == (
        "qcore: the command line needs click: pip install 'qcore-queue[cli]'"
    )
    assert capsys.readouterr().err == ""


# --- what is found ------------------------------------------------------------------------------


def test_an_attribute_of_an_attribute_can_be_named() -> None:
    """MODULE:NAME may go deeper: application:inner.queue."""
    assert load("application:inner.queue") is load("application:alone")


def test_modules_of_the_working_folder_can_be_imported(home: Path) -> None:
    """As with `python -m`, the working folder comes first, wherever it stood before."""
    sys.path.append(str(home))
    assert isinstance(load("application:q"), Qcore)
    assert sys.path[0] == str(home)
    assert sys.path.count(str(home)) == 1


# --- what is run --------------------------------------------------------------------------------


def enqueue(count: int) -> None:
    """Store some tasks for the application."""
    q = load("application:q")
    q.blocking.enqueue_many([q.handlers()[0].call(n=n) for n in range(count)])
    q.blocking.close()


def test_a_burst_runs_what_is_there_and_ends() -> None:
    """The exit status is 0, and every task is completed."""
    enqueue(3)
    result = invoke("worker", "application:q", "--burst")
    assert result.exit_code == 0, result.output
    assert asyncio.run(_totals()) == {State.COMPLETED: 3}


async def _totals() -> object:
    async with load("application:q") as q:
        return await q.inspector.totals()


def test_elsewhere_than_on_a_terminal_the_log_is_json() -> None:
    """Each line is an object, with its time and level; handlers' own lines too."""
    enqueue(1)
    lines = lines_of(invoke("worker", "application:q", "--burst"))
    (noted,) = (line for line in lines if line["event"] == "noted")
    assert (noted["level"], noted["task"], noted["n"]) == ("info", "note", 0)
    assert {"worker started", "worker stopped"} <= {line["event"] for line in lines}
    assert all("timestamp" in line for line in lines)


def test_on_a_terminal_the_log_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no JSON there."""
    monkeypatch.setattr("qcore.entrypoints.logs.is_terminal", lambda: True)
    result = invoke("worker", "application:q", "--burst")
    assert "worker started" in result.stderr
    assert "{" not in result.stderr


@pytest.mark.parametrize(
    ("level", "are_logged"), [("info", True), ("WARNING", False), ("error", False)]
)
def test_the_level_of_the_log_can_be_chosen(level: str, *, are_logged: bool) -> None:
    """What is below it is not logged."""
    result = invoke("worker", "application:q", "--burst", "--log-level", level)
    assert ("worker started" in result.stderr) is are_logged


def test_a_log_that_the_module_has_configured_is_left_alone(home: Path) -> None:
    """Its author knows better."""
    text = "import structlog\nstructlog.configure(processors=[lambda *_: 'my own'])\n"
    write(home, "configured", text + APPLICATION)
    result = invoke("worker", "configured:q", "--burst", "--log-level", "error")
    assert result.exit_code == 0, result.output
    assert set(result.stdout.splitlines()) == {"my own"}


def test_a_worker_that_nobody_else_can_reach_says_so() -> None:
    """Tasks in memory are those of its own process alone: that is seldom meant."""
    first, *_ = lines_of(invoke("worker", "application:alone", "--burst"))
    assert first["level"] == "warning"
    assert "no other process can enqueue into this worker" in str(first["event"])


def test_a_worker_on_a_shared_store_does_not() -> None:
    """There is nothing to warn of."""
    lines = lines_of(invoke("worker", "application:q", "--burst"))
    assert "warning" not in {line["level"] for line in lines}


@pytest.mark.parametrize(
    ("arguments", "queues"),
    [
        ([], ["default"]),
        (["--queues", "low=1,critical=6,default=3"], ["critical", "default", "low"]),
        (["--queues", "b,a"], ["b", "a"]),
        (["--queues", " a = 2 , b "], ["a", "b"]),
        (["--queues", "low=1,critical=6", "--strict"], ["low", "critical"]),
    ],
    ids=str,
)
def test_queues_are_served_by_weight_or_as_written(arguments: list[str], queues: list[str]) -> None:
    """The heaviest first; strictly, in the order written."""
    lines = lines_of(invoke("worker", "application:q", "--burst", *arguments))
    (started,) = (line for line in lines if line["event"] == "worker started")
    assert started["queues"] == queues


# --- loops --------------------------------------------------------------------------------------


async def _loop() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_the_loop_is_uvloop_if_it_is_installed() -> None:
    """It is an extra; nothing has to be said to use it."""
    pytest.importorskip("uvloop")
    assert run(_loop()).startswith("uvloop")


def test_the_loop_is_asyncios_if_uvloop_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is missing without it but some speed."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(_loop()).startswith("asyncio")


async def _fail() -> None:
    raise LookupError("no")


def test_what_a_coroutine_raises_comes_out_of_the_loop() -> None:
    """And the loop is closed all the same, or a warning would fail this test."""
    with pytest.raises(LookupError):
        run(_fail())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_a_task_of_a_handler_raises_does_not_end_the_worker(
    home: Path, kind: type[BaseException]
) -> None:
    """It fails its own task alone, and what comes after it is run."""
    write(
        home,
        "exits",
        f"""
import asyncio
from qcore import Context, Qcore
q = Qcore("sqlite:///tasks.db")

async def part():
    raise {kind.__name__}("odd")

@q.task("exits", max_retry=0)
async def exits(ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(part())

@q.task("note", retention=60)
async def note(ctx: Context) -> None: ...
""",
    )
    q = load("exits:q")
    exits, note = (q.resolve(name).enqueue_sync() for name in ("exits", "note"))  # type: ignore[union-attr]
    result = invoke("worker", "exits:q", "--burst", "--concurrency", "1")
    assert result.exit_code == 0
    assert exits.status() is State.ARCHIVED
    assert note.status() is State.COMPLETED
    assert "a task has tried to end the process" in result.stderr
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "it was put back"
    q.blocking.close()
