import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcore import InvalidOption, Qcore
from tests.entrypoints.cli_kit import invoke, lines_of, working_in, write

APPLICATION = """
from qcore import Context, Qcore

q = Qcore()

@q.task("note", queue="low")
async def note(ctx: Context, n: int) -> None: ...
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with an application."""
    write(tmp_path, "application", APPLICATION)
    with working_in(tmp_path, monkeypatch):
        yield tmp_path


def project(home: Path, text: str) -> None:
    """Write the project's file."""
    (home / "pyproject.toml").write_text(f"[project]\nname = 'shop'\n[tool.qcore]\n{text}\n")


def settings(*arguments: str) -> dict[str, dict[str, Any]]:
    """Return what `qcore config --json` says, by the names of settings."""
    result = invoke("config", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return {each["name"]: each for each in json.loads(result.stdout)["settings"]}


def test_each_source_comes_before_those_below(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's file, the environment and flags, in rising order."""
    assert settings()["concurrency"] == {
        "name": "concurrency",
        "value": 100,
        "source": "default",
        "from": "default",
    }
    project(home, "concurrency = 10")
    found = settings()["concurrency"]
    assert (found["value"], found["from"]) == (10, "[tool.qcore] of pyproject.toml")
    monkeypatch.setenv("QCORE_CONCURRENCY", "20")
    found = settings()["concurrency"]
    assert (found["value"], found["from"]) == (20, "QCORE_CONCURRENCY")
    found = settings("--concurrency", "30")["concurrency"]
    assert (found["value"], found["from"]) == (30, "--concurrency")


def test_a_worker_goes_by_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application, its queues and the way to leave are said by no flag here."""
    project(home, 'app = "application:q"\nburst = true\nurl = "sqlite:///from-project.db"')
    monkeypatch.setenv("QCORE_QUEUES", "low=2,high=3")
    result = invoke("worker")
    assert result.exit_code == 0, result.stderr
    [started] = [line for line in lines_of(result) if line["event"] == "worker started"]
    assert started["queues"] == ["high", "low"]
    assert (home / "from-project.db").exists()


def test_an_application_enqueues_where_the_worker_looks(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Qcore()` goes by the same URL as the command, in whichever process it is."""
    project(home, 'url = "sqlite:///project.db"')
    assert Qcore().store == "sqlite:///project.db"
    monkeypatch.setenv("QCORE_URL", "sqlite:///environment.db")
    assert Qcore().store == "sqlite:///environment.db"
    assert Qcore("memory://").store == "memory://"


def test_a_url_of_a_flag_is_the_applications(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the place of the environment's."""
    monkeypatch.setenv("QCORE_URL", "sqlite:///environment.db")
    result = invoke("worker", "application:q", "--burst", "--url", "sqlite:///flag.db")
    assert result.exit_code == 0, result.stderr
    assert (home / "flag.db").exists()
    assert not (home / "environment.db").exists()


def test_a_url_of_a_flag_does_not_yield_to_one_in_the_code(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gives it would look for their tasks in the wrong place."""
    monkeypatch.setenv("QCORE_URL", "memory://")
    write(home, "placed", "from qcore import Qcore\nq = Qcore('sqlite:///mine.db')")
    result = invoke("worker", "placed:q", "--url", "sqlite:///flag.db")
    assert result.exit_code == 2
    assert "placed:q says itself where its tasks wait, sqlite:///mine.db" in result.stderr


@pytest.mark.parametrize(
    ("toml", "value"),
    [
        ('queues = "a=2,b"', {"a": 2, "b": 1}),
        ('queues = ["a", "b"]', ["a", "b"]),
        ("queues = { a = 2, b = 1 }", {"a": 2, "b": 1}),
        ("[tool.qcore.queues]\na = 2\nb = 1", {"a": 2, "b": 1}),
    ],
)
def test_queues_in_toml_are_text_a_list_or_a_table(home: Path, toml: str, value: object) -> None:
    """Whichever its author finds natural."""
    project(home, toml)
    assert settings()["queues"]["value"] == value


@pytest.mark.parametrize("toml", ['import = "a, b.*"', 'import = ["a", "b.*"]'])
def test_what_may_be_given_several_times_is_a_list(home: Path, toml: str) -> None:
    """Or one text, as in a variable."""
    project(home, toml)
    assert settings()["import"]["value"] == ["a", "b.*"]


def test_a_variable_names_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commas or blanks stand between them."""
    monkeypatch.setenv("QCORE_IMPORT", "a,b.* c")
    assert settings()["import"]["value"] == ["a", "b.*", "c"]
    assert settings("--import", "d", "--import", "e")["import"]["value"] == ["d", "e"]


@pytest.mark.parametrize(
    ("toml", "environment", "arguments", "said"),
    [
        (
            "concurrency = 0",
            {},
            [],
            "expected a whole number from 1 to 1,000,000 ([tool.qcore] of pyproject.toml)",
        ),
        ("concurrency = true", {}, [], "concurrency is True: expected a whole number"),
        ("concurrency = 2.5", {}, [], "concurrency is 2.5: expected a whole number"),
        (
            "",
            {"QCORE_CONCURRENCY": "many"},
            [],
            "concurrency is 'many': expected a whole number from 1 to 1,000,000 (QCORE_CONCURR",
        ),
        ("", {}, ["--lease", "long"], "lease is 'long': expected more than 0 seconds, at most"),
        ("", {}, ["--lease", "long"], "(--lease)"),
        ("", {"QCORE_MAX_TASKS": "0"}, [], "max_tasks is 0: expected None or 1 and more (QCORE_MA"),
        ("", {"QCORE_STRICT": "perhaps"}, [], "strict: 'perhaps' is not a valid boolean"),
        ("", {"QCORE_QUEUES": "a=x"}, [], "queues is 'a=x': the weight of 'a' is 'x', no whole"),
        ("queues = { a = 0 }", {}, [], "[tool.qcore] of pyproject.toml"),
        ("queues = 7", {}, [], "queues is 7: expected names with weights, or a list of names"),
        ("import = 7", {}, [], "import: "),
        ("app = 7", {}, [], "app: it is 7: expected text ([tool.qcore] of pyproject.toml)"),
        ("url = 7", {}, [], "url is 7: expected a URL ([tool.qcore] of pyproject.toml)"),
        ('log-level = "loud"', {}, [], "log_level: 'loud' is not one of 'debug', 'info'"),
        (
            "concurency = 5",
            {},
            [],
            "there is no setting 'concurency': did you mean 'concurrency'? ([tool.qcore] of",
        ),
        ("speed = 5", {}, [], "there is no setting 'speed': expected one of app, import, url"),
        ("concurrency = ", {}, [], "pyproject.toml is no TOML"),
        (
            "",
            {"QCORE_URL": "nonsense://ann:s3cr3t@db"},
            [],
            "the URL 'nonsense://ann:…@db' has the scheme 'nonsense'",
        ),
        ("", {"QCORE_URL": "redis://ann:s3cr3t@db/x"}, [], "(QCORE_URL)"),
    ],
    ids=lambda given: repr(given)[:40],
)
@pytest.mark.parametrize("command", ["worker", "config"])
def test_a_wrong_one_is_named_with_its_source(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: str,
    toml: str,
    environment: dict[str, str],
    arguments: list[str],
    said: str,
) -> None:
    """One line: which setting, its value, what was expected, and where it stands."""
    project(home, toml)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    named = [] if "app: " in said else ["application:q"]
    result = invoke(command, *named, "--burst", *arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--concurency", "5"], "No such option"),
        (["application:q", "another"], "unexpected extra argument (another)"),
        (["--lease"], "requires an argument"),
    ],
)
def test_what_no_command_takes_is_one_line(arguments: list[str], said: str) -> None:
    """It says what, and where to look if that does not help."""
    result = invoke("worker", *arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line


def test_settings_that_do_not_go_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be right by itself."""
    monkeypatch.setenv("QCORE_STRICT", "1")
    result = invoke("worker", "application:q", "--burst")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: strict is set without queues: name them, the first first (QCORE_STRICT)\n"
    )


def test_a_worker_without_an_application_says_where_to_name_it() -> None:
    """Three places are looked at."""
    result = invoke("worker")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: no application is named: expected MODULE:NAME, such as myapp.tasks:q, or "
        "QCORE_APP, or app in [tool.qcore]\n"
    )


def test_a_variable_that_is_almost_a_setting_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be ignored in silence; one that is like no setting may be anybody's."""
    monkeypatch.setenv("QCORE_CONCURENCY", "5")
    monkeypatch.setenv("QCORE_SERVICE_PORT_8080_TCP", "tcp://10.0.0.1")
    said = "the variable QCORE_CONCURENCY is no setting: did you mean QCORE_CONCURRENCY?"
    result = invoke("config")
    assert result.stderr == f"warning: {said}\n"
    assert json.loads(invoke("config", "--json").stdout)["warnings"] == [said]
    lines = lines_of(invoke("worker", "application:q", "--burst"))
    assert {"event": said, "level": "warning"}.items() <= lines[0].items()


def test_secrets_are_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a password nor an option, which may be one."""
    monkeypatch.setenv(
        "QCORE_URL", "redis+sentinel://ann:s3cr3t@one/main/0?sentinel_password=s3cr3t"
    )
    for arguments in (["config"], ["config", "--json"]):
        result = invoke(*arguments)
        assert "s3cr3t" not in result.output
    assert settings()["url"]["value"] == "redis+sentinel://ann:…@one/main/0?…"


def test_settings_are_shown_one_a_line(home: Path) -> None:
    """Name, value, source, in columns; what is not set is a dash."""
    project(home, 'log-level = "warning"\nlease = 15\n')
    lines = [line.split(maxsplit=2) for line in invoke("config").stdout.splitlines()]
    assert ["log-level", "warning", "[tool.qcore] of pyproject.toml"] in lines
    assert ["lease", "15", "[tool.qcore] of pyproject.toml"] in lines
    assert ["url", "sqlite:///qcore.db", "default"] in lines
    assert ["app", "-", "default"] in lines


def test_an_option_of_one_call_is_no_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's `strict` is not the doctor's, and JSON is asked for by a flag."""
    monkeypatch.setenv("QCORE_JSON", "1")
    monkeypatch.setenv("QCORE_STRICT", "1")
    assert invoke("config").stdout.startswith("app ")
    assert "json" not in settings()
    assert invoke("doctor", "--url", "memory://").exit_code == 0


def test_the_doctor_looks_at_the_projects_store(home: Path) -> None:
    """Unless it is told of another."""
    project(home, 'url = "sqlite:///project.db"')
    assert invoke("doctor").stdout.startswith("sqlite:///project.db: ")


@pytest.mark.parametrize(
    "text", ["[project]\nname = 'qcore-shop'\n", "[tool]\nqcore-lint = 1\n", "tool = 'qcore'\n"]
)
def test_a_project_that_says_nothing_has_no_settings(home: Path, text: str) -> None:
    """Its file may name qcore all the same, as among its dependencies."""
    (home / "pyproject.toml").write_text(text)
    assert {each["source"] for each in settings().values()} == {"default"}


@pytest.mark.parametrize("text", ["tool.qcore = 3", "[tool.qcore]\nurl = ''"])
def test_a_project_that_says_nonsense_is_refused_by_an_application_too(
    home: Path, text: str
) -> None:
    """Tasks are not to go to the default store for a misspelling."""
    (home / "pyproject.toml").write_text(text)
    with pytest.raises(InvalidOption, match=r"expected a (table|URL)"):
        Qcore()
