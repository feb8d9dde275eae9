"""Run commands in this process, in a folder with an application of a test's own."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner, Result

from qcore import Qcore
from qcore.entrypoints.cli.group import qcore
from tests.log.kit import unconfigured_logs


@contextmanager
def working_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder, without settings, and leave no trace of its modules in this process.

    What another test has imported under the name of one of them is not there meanwhile.
    """
    for name in [name for name in os.environ if name.startswith("QCORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    own = {each.stem for each in folder.iterdir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        monkeypatch.delitem(sys.modules, name)
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        held = vars(sys.modules[name])
        if str(folder) in f"{held.get('__file__')} {held.get('__path__')}":
            del sys.modules[name]


@contextmanager
def a_store_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder, with the store there that commands ask unless they are told of another."""
    with working_in(folder, monkeypatch):
        made = Qcore(instruments=[])
        yield made
        made.blocking.close()


def write(folder: Path, module: str, text: str) -> None:
    """Write a module, such as app.jobs.mail, and the packages that it is in."""
    *packages, name = module.split(".")
    for package in packages:
        folder /= package
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    (folder / f"{name}.py").write_text(text)


def invoke(*arguments: str) -> Result:
    """Run a command in this process, whose log is as yet configured by nobody."""
    with unconfigured_logs():
        return CliRunner().invoke(qcore, arguments)


def lines_of(result: Result) -> list[dict[str, object]]:
    """Return what a command has logged for machines."""
    return [json.loads(line) for line in result.stderr.splitlines()]


def document_of(*arguments: str) -> dict[str, Any]:
    """Run a command with --json, and return its one document."""
    document: dict[str, Any] = json.loads(invoke(*arguments, "--json").stdout)
    assert document.pop("version") == 1
    return document


def cells_of(*arguments: str) -> list[list[str]]:
    """Run a command that succeeds, and return the cells of its lines."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()]


def sit_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands of this process see a terminal in their three streams."""
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)  # noqa: SLF001


def answer(*arguments: str, said: str) -> Result:
    """Run a command whose question is answered."""
    with unconfigured_logs():
        return CliRunner().invoke(qcore, arguments, input=f"{said}\n")
