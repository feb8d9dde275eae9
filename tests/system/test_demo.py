"""The demo keeps what it promises, and its auditor would say so if it did not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from examples.signup.images import THUMBNAIL
from examples.signup.stage.audit import Promise, Verdict, audit, read_deliveries
from qcore import NewTask, State, Task

ROOT = Path(__file__).parents[2]
USERS = 20
CLOSED = 1
"""How many of the first users have a mailbox that is closed."""

Demo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_demo(tmp_path: Path) -> Demo:
    """Return a function that runs the demo with a few users and returns how it went."""

    def run(*options: str, output: Path = tmp_path / "output") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "examples.signup", "--output", str(output), *options]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


@pytest.mark.system
def test_the_demo_does_everything_and_leaves_it_where_it_says(
    run_demo: Demo, tmp_path: Path
) -> None:
    """Each e-mail is an .eml file, each picture has a thumbnail, and there is a report."""
    done = run_demo("--users", str(USERS))

    assert done.returncode == 0, done.stdout + done.stderr
    output = tmp_path / "output"
    addresses = [delivery.address for delivery in read_deliveries(output / "mail")]
    assert len(set(addresses)) == USERS - CLOSED
    assert len(addresses) >= 2 * (USERS - CLOSED)
    assert len(list((output / "thumbnails").glob("*.jpg"))) == USERS
    assert (output / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "killed with SIGKILL" in done.stdout
    assert "Lost: nothing." in done.stdout


@pytest.mark.system
def test_a_folder_of_somebody_else_is_left_alone(run_demo: Demo, tmp_path: Path) -> None:
    """The demo clears no folder that it did not make, and the exit status says so."""
    (tmp_path / "thesis.tex").write_text("years of work")

    done = run_demo("--users", "1", output=tmp_path)

    assert done.returncode != 0
    assert "choose another --output" in done.stderr
    assert (tmp_path / "thesis.tex").exists()


class Scene:
    """One e-mail and one thumbnail, both as they should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.picture = folder / "1.jpg"
        Image.new("RGB", THUMBNAIL).save(self.picture, "JPEG")
        self.eml = self.deliver("m1")
        self.tasks: dict[str, Task | None] = {"m1": a_task("m1"), "t1": a_task("t1")}
        self.promises = [
            Promise("critical", "m1", "email:verification", address="ann@example.com"),
            Promise("default", "t1", "image:thumbnail", file=self.picture),
        ]

    def deliver(self, task_id: str, address: str = "ann@example.com", copy: int = 1) -> Path:
        """Write an .eml file as the mail server does."""
        path = self.folder / f"{copy:04}-{address}.eml"
        path.write_text(f"Delivered-To: {address}\nMessage-ID: <{task_id}@signup>\n\nHello\n")
        return path

    def verdict(self) -> Verdict:
        """Return what the auditor says of it now."""
        return audit(self.promises, self.tasks, read_deliveries(self.folder))


def a_task(task_id: str, state: State = State.COMPLETED, crashes: int = 0) -> Task:
    """Return a task that has ended."""
    spec = NewTask("any", id=task_id)
    return Task(spec, state, created=0.0, due=0.0, attempts=1 + crashes, crashes=crashes)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Return an e-mail and a thumbnail as they should be."""
    return Scene(tmp_path)


def test_a_flawless_run_has_no_problems(scene: Scene) -> None:
    """What was promised and is there needs no comment."""
    assert scene.verdict() == Verdict()
    assert scene.verdict().exit_status == 0


def test_a_removed_eml_is_a_lost_email(scene: Scene) -> None:
    """A task that says it is completed is not believed without its .eml file."""
    scene.eml.unlink()

    verdict = scene.verdict()

    assert verdict.problems == ["email:verification ann@example.com: lost, no .eml file has its id"]
    assert verdict.exit_status == 1


def test_a_second_eml_without_a_crash_is_a_problem(scene: Scene) -> None:
    """An e-mail that came twice for no reason is named."""
    scene.deliver("m1", copy=2)

    verdict = scene.verdict()

    assert verdict.problems == [
        "email:verification ann@example.com: delivered 2 times, with 0 crashes to explain it"
    ]
    assert verdict.exit_status == 1


def test_a_second_eml_is_excused_by_a_crash(scene: Scene) -> None:
    """A worker that was lost may have handed the message over already."""
    scene.deliver("m1", copy=2)
    scene.tasks["m1"] = a_task("m1", crashes=1)

    verdict = scene.verdict()

    assert verdict.exit_status == 0
    assert len(verdict.excused) == 1


def test_one_crash_excuses_one_copy_only(scene: Scene) -> None:
    """A third copy needs a second crash."""
    scene.deliver("m1", copy=2)
    scene.deliver("m1", copy=3)
    scene.tasks["m1"] = a_task("m1", crashes=1)

    assert len(scene.verdict().problems) == 1


def test_an_email_to_somebody_else_is_a_problem(scene: Scene) -> None:
    """The right message at the wrong address is not delivered."""
    scene.eml.unlink()
    scene.deliver("m1", address="bob@example.com")

    (problem,) = scene.verdict().problems

    assert "delivered to somebody else" in problem


def test_an_email_that_nobody_asked_for_is_a_problem(scene: Scene) -> None:
    """A delivery without a promise is named by its file."""
    stray = scene.deliver("m9", copy=9)

    (problem,) = scene.verdict().problems

    assert problem == f"{stray.name}: nobody asked for this e-mail"


@pytest.mark.parametrize("task", [None, a_task("t1", State.RETRY), a_task("t1", State.ARCHIVED)])
def test_a_task_that_has_not_been_completed_is_a_problem(scene: Scene, task: Task | None) -> None:
    """A task that is gone, waiting or given up is lost work, even if its file is there."""
    scene.tasks["t1"] = task

    (problem,) = scene.verdict().problems

    assert problem.startswith("image:thumbnail t1: it is ")


def test_a_damaged_thumbnail_is_a_problem(scene: Scene) -> None:
    """Half a JPEG is no thumbnail."""
    scene.picture.write_bytes(scene.picture.read_bytes()[:200])

    (problem,) = scene.verdict().problems

    assert "1.jpg is missing or damaged" in problem


def test_a_closed_mailbox_is_expected_to_be_refused(scene: Scene) -> None:
    """Its task has to be dead and nothing delivered; being completed would be a lie."""
    closed = Promise("critical", "m2", "email:welcome", address="ann@closed.example.net")
    scene.promises.append(closed)
    scene.tasks["m2"] = a_task("m2", State.DEAD)
    assert scene.verdict() == Verdict()

    scene.tasks["m2"] = a_task("m2", State.COMPLETED)
    assert len(scene.verdict().problems) == 1
    scene.deliver("m2", address="ann@closed.example.net", copy=2)
    assert len(scene.verdict().problems) == 2
