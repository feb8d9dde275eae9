"""The verdict: all of it was done, and nothing twice without a crash to explain it, or else.

Nothing is believed that a task says of itself: the evidence is the files.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path

from PIL import Image

from examples.signup.images import THUMBNAIL
from examples.signup.stage.smtp_server import CLOSED
from qcore import State, Task


@dataclass(frozen=True, slots=True)
class Delivery:
    """One .eml file."""

    task_id: str
    address: str
    path: Path


@dataclass(frozen=True, slots=True)
class Promise:
    """A task that the queue has acknowledged, and what it is to leave behind."""

    queue: str
    task_id: str
    name: str
    address: str | None = None
    """Where an e-mail is to arrive; at a closed mailbox, it is not to."""
    file: Path | None = None
    """What is to be written."""

    @property
    def is_undeliverable(self) -> bool:
        """Return whether the mail server will never take it."""
        return self.address is not None and self.address.endswith(CLOSED)


@dataclass(slots=True)
class Verdict:
    """What the auditor found."""

    problems: list[str] = field(default_factory=list[str])
    """What was lost, or done twice for no reason: one sentence each."""
    excused: list[str] = field(default_factory=list[str])
    """What was delivered twice because a worker was lost in between."""

    @property
    def exit_status(self) -> int:
        """Return what the demo exits with."""
        return 1 if self.problems else 0


def read_deliveries(folder: Path) -> list[Delivery]:
    """Return what the mail server has delivered, the first first."""
    return [_read(path) for path in sorted(folder.glob("*.eml"))]


def audit(
    promises: Sequence[Promise],
    tasks: Mapping[str, Task | None],
    deliveries: Iterable[Delivery],
) -> Verdict:
    """Hold what was promised against what there is. `tasks` are as the queue has them, by id."""
    verdict = Verdict()
    arrived: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        arrived[delivery.task_id].append(delivery)
    for promise in promises:
        task = tasks.get(promise.task_id)
        _check_end(verdict, promise, task)
        if promise.address is not None:
            _check_mail(verdict, promise, task, arrived.pop(promise.task_id, []))
        if promise.file is not None and not is_whole(promise.file):
            verdict.problems.append(f"{_name(promise)}: {promise.file.name} is missing or damaged")
    strays = [delivery for copies in arrived.values() for delivery in copies]
    verdict.problems += [f"{stray.path.name}: nobody asked for this e-mail" for stray in strays]
    return verdict


def is_whole(path: Path) -> bool:
    """Return whether a picture is a JPEG of the right size, or a PDF runs from head to tail."""
    if not path.exists():
        return False
    if path.suffix == ".pdf":
        data = path.read_bytes()
        return data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.format == "JPEG" and picture.size == THUMBNAIL
    except OSError:
        return False


def _check_end(verdict: Verdict, promise: Promise, task: Task | None) -> None:
    """Expect a task to be completed, or dead if its mailbox is closed."""
    expected = State.DEAD if promise.is_undeliverable else State.COMPLETED
    state = State.GONE if task is None else task.state
    if state is not expected:
        reason = f" ({task.error})" if task is not None and task.error else ""
        verdict.problems.append(f"{_name(promise)}: it is {state}, not {expected}{reason}")


def _check_mail(
    verdict: Verdict, promise: Promise, task: Task | None, copies: Sequence[Delivery]
) -> None:
    """Expect one copy, and at most one more for each crash; none at a closed mailbox."""
    wrong = [copy.path.name for copy in copies if copy.address != promise.address]
    if wrong:
        verdict.problems.append(f"{_name(promise)}: delivered to somebody else, see {wrong}")
    if promise.is_undeliverable:
        if copies:
            verdict.problems.append(f"{_name(promise)}: delivered to a closed mailbox")
        return
    crashes = 0 if task is None else task.crashes
    if not copies:
        verdict.problems.append(f"{_name(promise)}: lost, no .eml file has its id")
    elif len(copies) > 1 + crashes:
        verdict.problems.append(
            f"{_name(promise)}: delivered {len(copies)} times, with {crashes} crashes to explain it"
        )
    elif len(copies) > 1:
        verdict.excused.append(
            f"{_name(promise)}: delivered {len(copies)} times, "
            "because its worker was lost before it could say that it was sent"
        )


def _read(path: Path) -> Delivery:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    task_id = str(message["Message-ID"]).strip("<>").partition("@")[0]
    return Delivery(task_id, str(message["Delivered-To"]), path)


def _name(promise: Promise) -> str:
    return f"{promise.name} {promise.address or promise.task_id}"
