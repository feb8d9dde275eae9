"""What `deploy/` has is valid to its own validators, and fits the command that it starts."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from qcore import WorkerSettings
from qcore.adapters.instruments.metric_catalogue import OLDEST
from qcore.entrypoints.cli.group import qcore as commands

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROGRAMS = Path(sys.executable).parent
PLACE = "/srv/app/.venv/bin/qcore"
"""Where the unit of systemd expects the command."""
ENDING = 10.0
"""Seconds that a worker needs after its grace, as who stops it has to wait."""


@pytest.fixture(autouse=True)
def _in_the_folder_of_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Import from there, and leave no trace of it."""
    monkeypatch.syspath_prepend(DEPLOY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QCORE_URL", "memory://")
    yield
    sys.modules.pop("app", None)


def output_of(*command: str | Path) -> str:
    """Return what a validator says, which must not fail."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def documents(name: str) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


# --- validators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["deploy", "examples/bank"])
def test_an_image_is_made_as_its_linter_asks(folder: str) -> None:
    """Its linter, hadolint, has nothing to say."""
    assert output_of(PROGRAMS / "hadolint", ROOT / folder / "Dockerfile") == ""


def test_compose_accepts_its_file() -> None:
    """By the schema of the Compose specification."""
    check = ["--builtin-schema", "vendor.compose-spec"]
    output_of(PROGRAMS / "check-jsonschema", *check, DEPLOY / "compose.yaml")


def test_kubernetes_accepts_its_resources() -> None:
    """By the schemas of Kubernetes, strictly: a field that is misspelt is an error."""
    said = output_of(PROGRAMS / "kubernetes-validate", "--strict", DEPLOY / "kubernetes.yaml")
    assert said.count("passed") == len(documents("kubernetes.yaml"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_accepts_its_unit(tmp_path: Path) -> None:
    """Where the command is in its place."""
    unit = (DEPLOY / "qcore.service").read_text(encoding="utf-8")
    copy = tmp_path / "qcore.service"
    copy.write_text(unit.replace(PLACE, str(PROGRAMS / "qcore")))
    assert "qcore.service" not in output_of("systemd-analyze", "verify", "--man=no", copy)


# --- what is started ----------------------------------------------------------------------------


def unit() -> dict[str, str]:
    """Return the settings of the unit of systemd."""
    lines = (DEPLOY / "qcore.service").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def service(name: str) -> Any:
    """Return a service of the Compose file."""
    [compose] = documents("compose.yaml")
    return compose["services"][name]


def container() -> Any:
    """Return the container of the worker."""
    return documents("kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"][0]


def image(instruction: str) -> list[str]:
    """Return the words of an instruction of the Dockerfile that is in the list form."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    [line] = [each for each in text.splitlines() if each.startswith(f"{instruction} ")]
    words: list[str] = yaml.safe_load(line[line.index("[") :])
    return words


@pytest.mark.parametrize(
    "command",
    [
        image("CMD"),
        image("HEALTHCHECK"),
        service("bank-worker")["command"],
        service("bank-worker")["healthcheck"]["test"][1:],
        container()["command"],
        shlex.split(unit()["ExecStart"].replace(PLACE, "qcore")),
    ],
    ids=["image", "its health", "bank", "health of the bank", "Kubernetes", "systemd"],
)
def test_what_is_started_is_a_command_that_there_is(command: Sequence[str]) -> None:
    """With its options: one that was renamed would keep every container from starting."""
    program, name, *arguments = command
    found = commands.get_command(click.Context(commands), name)
    assert (program, found is None) == ("qcore", False)
    assert found is not None
    found.make_context(name, list(arguments))


def test_who_stops_a_worker_waits_for_its_grace() -> None:
    """Or what it still waits for is killed, and done again."""
    needed = WorkerSettings().grace + ENDING
    pod = documents("kubernetes.yaml")[0]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= needed
    for name in ("worker", "bank-worker"):
        assert float(service(name)["stop_grace_period"].removesuffix("s")) >= needed
    assert float(unit()["TimeoutStopSec"]) >= needed


def test_the_bank_has_an_api_and_a_worker_with_the_same_settings() -> None:
    """Where tasks wait and where users are; and the image has the modules that are started."""
    api, worker = service("bank-api"), service("bank-worker")
    assert api["environment"].items() <= worker["environment"].items()
    assert api["build"] == worker["build"]
    text = (ROOT / api["build"]["dockerfile"]).read_text(encoding="utf-8")
    [command] = [yaml.safe_load(line[4:]) for line in text.splitlines() if line.startswith("CMD ")]
    for started in (command[1], worker["command"][2]):
        module, _, name = started.partition(":")
        assert hasattr(import_module(module), name)


def test_the_metric_that_workers_are_scaled_by_is_the_one_that_is_shown() -> None:
    """An autoscaler that finds no metric leaves things as they are, for ever."""
    [scaler] = [each for each in documents("kubernetes.yaml") if "Autoscaler" in each["kind"]]
    [metric] = scaler["spec"]["metrics"]
    scaled_by = metric["external"]["metric"]
    assert scaled_by["name"] == OLDEST.name
    assert set(scaled_by["selector"]["matchLabels"]) <= set(OLDEST.labels)
    [container] = documents("kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"]
    assert {"name": "metrics", "containerPort": 9100} in container["ports"]
    assert "--metrics-port=9100" in container["command"]
