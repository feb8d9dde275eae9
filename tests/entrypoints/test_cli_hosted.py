"""The commands within the command line of an application, which hands its queue over."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from qcore import Context, Qcore
from qcore.entrypoints.cli.hosted_group import HostedGroup
from tests.entrypoints.cli_kit import working_in, write
from tests.log.kit import unconfigured_logs


@pytest.fixture
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Return an application's queue, in a folder whose environment names another store."""
    with working_in(tmp_path, monkeypatch):
        monkeypatch.setenv("QCORE_URL", "sqlite:///other.db")
        monkeypatch.setenv("QCORE_APP", "other:q")
        made = Qcore(f"sqlite:///{tmp_path}/own.db", instruments=[])

        @made.task("mail", retention=60)
        def mail(ctx: Context, to: str) -> str:
            return f"to {to}"

        yield made
        made.blocking.close()


def invoke(q: Qcore, *arguments: str) -> Result:
    """Run a command of an application's own command line."""

    @click.group()
    def host() -> None:
        """Manage the shop."""

    host.add_command(HostedGroup(lambda: q))
    with unconfigured_logs():
        return CliRunner().invoke(host, ["qcore", *arguments])


def test_a_worker_runs_the_tasks_of_the_hosts_queue(q: Qcore) -> None:
    """Neither MODULE:NAME nor the environment is asked."""
    [mail] = q.handlers()
    handle = mail.enqueue_sync(to="ann")
    result = invoke(q, "worker", "--burst")
    assert result.exit_code == 0, result.output
    assert handle.result(timeout=0) == "to ann"
    assert not Path("other.db").exists()


@pytest.mark.parametrize("command", ["tasks", "queues", "stats", "export", "doctor"])
def test_commands_ask_the_store_of_the_hosts_queue(q: Qcore, command: str) -> None:
    """As they do where --app names it."""
    q.handlers()[0].enqueue_sync(to="ann")
    result = invoke(q, command)
    assert result.exit_code == 0, result.output
    assert "other.db" not in result.output
    assert not Path("other.db").exists()


def test_arguments_of_a_task_are_checked_by_the_hosts_handlers(q: Qcore) -> None:
    """`enqueue` needs no --app."""
    assert "expected (to: str)" in invoke(q, "enqueue", "mail", "from=bob").output
    result = invoke(q, "enqueue", "mail", "to=bob", "--json")
    assert result.exit_code == 0, result.output
    assert q.blocking.handle("default", json.loads(result.stdout)["id"]).status() == "pending"


def test_another_store_can_be_asked_by_its_url(q: Qcore) -> None:
    """What a flag says is meant."""
    with q.swapped("sqlite:///other.db"):
        q.handlers()[0].using(queue="elsewhere").enqueue_sync(to="ann")
        q.blocking.close()
    assert "elsewhere" in invoke(q, "queues", "--url", "sqlite:///other.db").output
    assert "elsewhere" not in invoke(q, "queues").output


def test_settings_name_the_store_of_the_hosts_queue(q: Qcore) -> None:
    """And not the one of a variable, which does not count here."""
    result = invoke(q, "config")
    assert result.exit_code == 0, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("url ")]
    assert "own.db" in line


@pytest.mark.parametrize(
    ("arguments", "named"), [(["shop:q"], "MODULE:NAME"), (["--url", "memory://"], "--url")]
)
def test_a_worker_takes_no_other_queue(q: Qcore, arguments: list[str], named: str) -> None:
    """Whoever names one has mistaken this command line for `qcore` itself."""
    result = invoke(q, "worker", "--burst", *arguments)
    assert result.exit_code == 2
    assert f"{named} is given" in result.output
    assert f"leave out {named}" in result.output


def test_modules_with_tasks_are_imported_beside(
    q: Qcore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--import` adds to what the application has imported."""
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "extra_jobs", "import os\nos.environ['QCORE_EXTRA_SEEN'] = 'yes'\n")
    result = invoke(q, "worker", "--burst", "--import", "extra_jobs")
    assert result.exit_code == 0, result.output
    assert os.environ.pop("QCORE_EXTRA_SEEN") == "yes"


def test_the_group_lists_all_commands(q: Qcore) -> None:
    """Its help is that of `qcore`."""
    result = invoke(q, "--help")
    assert "Run the tasks of an application." in result.output
