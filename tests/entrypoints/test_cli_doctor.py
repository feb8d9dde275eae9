import json
import shutil
from pathlib import Path

import pytest
from click import unstyle
from click.testing import CliRunner, Result

from qcore import NewTask, Qcore
from qcore.adapters.memory import MemoryBroker
from qcore.domain.diagnostics import Grade, advice, error, ok, warning
from qcore.entrypoints.cli import doctor
from qcore.entrypoints.cli.group import qcore
from tests.servers.binaries import SERVERS, Binary
from tests.servers.ports import free_port
from tests.servers.redis import HOST, RedisServer

SQLITE = "sqlite:///queue.db"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of our own, on a large disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QCORE_URL", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    return tmp_path


def invoke(*arguments: str, color: bool = False) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(qcore, ["doctor", *arguments], color=color)


@pytest.fixture
def sqlite() -> str:
    """Return the URL of a file with a task in it."""
    q = Qcore(SQLITE)
    q.blocking.enqueue(NewTask("mail", id="a"))
    q.blocking.close()
    return SQLITE


# --- exit status ----------------------------------------------------------------------------------


def test_a_store_that_is_well_is_a_success(sqlite: str) -> None:
    """So it is with --strict."""
    result = invoke("--url", sqlite, "--strict")
    assert result.exit_code == 0
    assert result.stdout.startswith("sqlite:///queue.db: all is well\n")


def test_a_warning_fails_if_it_is_asked_for_alone() -> None:
    """A store that works, and loses tasks, is no error."""
    assert invoke("--url", "memory://").exit_code == 0
    assert invoke("--url", "memory://", "--strict").exit_code == 1


def test_an_error_is_a_failure() -> None:
    """Whether it is found in the store, or on the way to it."""
    result = invoke("--url", "sqlite:///nowhere/queue.db")
    assert result.exit_code == 1
    assert "there is no folder" in result.stdout


def test_advice_is_no_failure(home: Path) -> None:
    """A file that is not there yet may be made; an examination does not make it."""
    result = invoke("--strict")
    assert result.exit_code == 0
    assert result.stdout.startswith("sqlite:///qcore.db: 1 to improve\n")
    assert list(home.iterdir()) == []


def test_a_wrong_url_is_refused_in_one_line() -> None:
    """The exit status is 2."""
    result = invoke("--url", "nonsense://ann:s3cr3t@db")
    assert result.exit_code == 2
    assert "has the scheme 'nonsense'" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "s3cr3t" not in result.output


@pytest.mark.parametrize("form", ["--strict", "--json"])
def test_a_store_out_of_reach_is_one_finding(form: str) -> None:
    """The password is not shown, and the exit status is 1."""
    url = f"redis://ann:s3cr3t@{HOST}:{free_port()}?timeout=0.2"
    result = invoke("--url", url, form)
    assert result.exit_code == 1
    assert result.output.count("connection  " if form == "--strict" else '"about"') == 1
    assert "s3cr3t" not in result.output
    assert result.stderr == ""


def test_a_wrong_password_is_one_finding() -> None:
    """It says that the password is wrong, and not which it was."""
    with RedisServer(SERVERS[-1], "requirepass s3cr3t") as server:
        result = invoke("--url", server.url.replace("//", "//:s3cr3tx@"))
        assert result.exit_code == 1
        assert "does not take this user and password" in result.stdout
        assert len(result.stdout.splitlines()) == 2
        assert "s3cr3t" not in result.output
        assert invoke("--url", server.url.replace("//", "//:s3cr3t@")).exit_code == 0


# --- which store ----------------------------------------------------------------------------------


def test_the_store_is_that_of_a_worker_without_a_url(
    monkeypatch: pytest.MonkeyPatch, sqlite: str
) -> None:
    """QCORE_URL names it, unless --url does."""
    monkeypatch.setenv("QCORE_URL", "memory://")
    assert invoke().stdout.startswith("memory://: ")
    assert invoke("--url", sqlite).stdout.startswith(f"{sqlite}: ")


def test_a_broker_that_tells_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """That much can be said of every one."""

    class Silent(MemoryBroker):
        diagnose = None  # type: ignore[assignment]  # (it has nothing to say)

    monkeypatch.setattr(doctor, "connect", lambda _: Silent())
    result = invoke("--url", "memory://")
    assert result.exit_code == 0
    assert "it can be opened" in result.stdout


@pytest.mark.parametrize("binary", SERVERS, ids=str)
def test_a_redis_is_examined(binary: Binary) -> None:
    """Nothing is left of the examination."""
    with RedisServer(binary) as redis:
        result = invoke("--url", redis.url, "--json")
        assert result.exit_code == 0, result.output
        findings = json.loads(result.stdout)["findings"]
        assert {"scripts", "permissions", "latency"} <= {each["about"] for each in findings}
        assert redis.cli("KEYS", "*") == []


# --- what is printed ------------------------------------------------------------------------------

FOUND = [
    ok("version", "Redis 7.0.15"),
    advice("memory", "no limit", "set one"),
    warning("persistence", "nothing on the disk", "CONFIG SET appendonly yes"),
    error("permissions", "user ann lacks +eval", "ACL SETUSER ann +eval"),
    error("scripts", "they do not run"),
]


def test_people_read_an_aligned_list() -> None:
    """What to do stands below what was found."""
    assert [*map(unstyle, doctor.lines("redis://db", FOUND, None))] == [
        "redis://db: 2 broken, 1 to mend, 1 to improve",
        "  ok       version      Redis 7.0.15",
        "  advice   memory       no limit",
        "                        → set one",
        "  warning  persistence  nothing on the disk",
        "                        → CONFIG SET appendonly yes",
        "  error    permissions  user ann lacks +eval",
        "                        → ACL SETUSER ann +eval",
        "  error    scripts      they do not run",
    ]


def test_a_terminal_wraps_long_lines() -> None:
    """Further lines begin below the first; a command is not torn within a word."""
    long = [warning("disk", "full of words " * 8, "do this and that " * 6)]
    lines = [unstyle(line) for line in doctor.lines("redis://db", long, 70)]
    assert all(len(line) <= 70 for line in lines)
    assert len(lines) > 4
    margin = " " * len("  warning  disk  ")
    assert lines[2].startswith(f"{margin}words full")
    assert lines[-1].startswith(f"{margin}  do this")
    assert sum("→" in line for line in lines) == 1


def test_colour_is_for_terminals() -> None:
    """CliRunner is none, unless it says so; and whoever wants no colours gets none."""
    assert "\x1b[" not in invoke("--url", "memory://").stdout
    assert "\x1b[33mwarning" in invoke("--url", "memory://", color=True).stdout


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """See no-color.org: not empty, whatever it is."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in invoke("--url", "memory://", color=True).stdout
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b[" in invoke("--url", "memory://", color=True).stdout


def test_machines_read_json(sqlite: str) -> None:
    """With the worst grade, and each finding with what was found and what to do."""
    record = json.loads(invoke("--url", sqlite, "--json").stdout)
    assert record["url"] == sqlite
    assert record["grade"] == "ok"
    assert record["findings"][2].keys() == {"grade", "about", "found", "to_do"}
    assert doctor.as_record("db", FOUND)["grade"] is Grade.ERROR
    assert doctor.as_record("db", FOUND[:2])["grade"] is Grade.ADVICE
    assert doctor.as_record("db", FOUND)["findings"][1] == {
        "grade": "advice",
        "about": "memory",
        "found": "no limit",
        "to_do": "set one",
    }
