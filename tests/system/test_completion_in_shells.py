import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qcore import Qcore
from qcore.testing import a_task
from tests.entrypoints.terminal import Terminal, command_in, terminal

pytestmark = pytest.mark.system

SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
BEFORE = {
    "bash": "PS1='rea''dy> '\r",
    "zsh": "PROMPT='rea''dy> '; autoload -Uz compinit; compinit -D -u\r",
}
TRIES = 20
"""How often Tab is pressed: where the machine is busy, the store may be too late at first."""


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Have a store with a task, and `qcore` among the programs."""
    programs = command_in(tmp_path / "bin")
    url = f"sqlite:///{tmp_path}/tasks.db"
    q = Qcore(url, instruments=[])
    q.blocking.enqueue(a_task(id="user-7", queue="mailing"))
    q.blocking.close()
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "QCORE_URL": url}


@pytest.fixture(params=sorted(SHELLS))
def shell(
    request: pytest.FixtureRequest, tmp_path: Path, environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """Sit at a shell that has read what `qcore completion` prints."""
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    with terminal(*SHELLS[name], folder=tmp_path, environment=environment) as found:
        found.type(BEFORE[name])
        assert found.wait_for("ready> ")
        found.type(f'eval "$(qcore completion {name})"\r')
        assert found.wait_for("ready> ")
        yield found


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        ("qcore doc", "tor"),
        ("qcore tasks resch", "edule"),
        ("qcore queues --lim", "it"),
        ("qcore tasks list state:de", "ad"),
        ("qcore tasks list prio", "rity:"),
        ("qcore queues pause mail", "ing"),
        ("qcore task show us", "er-7"),
        ("qcore errors queue:ma", "iling"),
    ],
)
def test_a_word_is_completed_at_a_real_prompt(shell: Terminal, typed: str, added: str) -> None:
    """A command, a verb, an option, a state, a qualifier, and names that the store knows."""
    shell.type(typed)
    assert shell.wait_for(typed)
    for _ in range(TRIES):
        shell.type("\t")
        if shell.wait_for(added, seconds=3):
            break
    assert added in shell.shown


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("qcore doc", "doctor"),
        ("qcore tasks list state:de", "state:dead"),
        ("qcore queues pause mail", "mailing"),
    ],
)
def test_fish_offers_what_the_line_can_go_on_with(
    tmp_path: Path, environment: Mapping[str, str], typed: str, offered: str
) -> None:
    """By what `qcore completion fish` prints."""
    script = f"qcore completion fish | source; complete --do-complete '{typed}'"
    for _ in range(TRIES):
        done = subprocess.run(
            ["fish", "--no-config", "-c", script],
            capture_output=True,
            check=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
            text=True,
            timeout=60,
        )
        if done.stdout:
            break
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [offered]
    assert done.stderr == ""
