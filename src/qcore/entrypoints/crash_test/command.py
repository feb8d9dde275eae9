"""The command `python -m qcore.crash_test`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Final

from qcore.domain.errors import InvalidOption, QcoreError
from qcore.entrypoints.connect import connect
from qcore.entrypoints.crash_test.roles import produce, work
from qcore.entrypoints.crash_test.trial import Report, Trial, TrialFailed
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.ports import Capability

TASKS: Final = 500
KILLS: Final = 6
SHOWN: Final = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Try a broker, print what was found, and return the exit status: 1 if a task was lost."""
    options = _parser().parse_args(arguments)
    if options.role == "produce":
        produce(options.url, options.queue, options.folder, options.tasks)
        return 0
    if options.role == "work":
        configure("error")
        run(work(options.url, options.queue, options.folder, to_the_end=options.to_the_end))
        return 0
    try:
        report = _tried(options.url, options.tasks, options.kills)
    except (QcoreError, TrialFailed) as error:
        print(error)
        return 2 if isinstance(error, InvalidOption) else 1
    print(_told(report))
    return 1 if report.lost else 0


def _tried(url: str, tasks: int, kills: int) -> Report:
    if Capability.DURABLE not in connect(url).capabilities:
        raise InvalidOption("this broker has no Capability.DURABLE: a kill ends its store, too")
    with TemporaryDirectory(prefix="qcore-crash-test-") as folder:
        trial = Trial(url, f"crash-test-{token_hex(4)}", Path(folder), tasks)
        trial.run(kills)
        return run(trial.audit())


def _told(report: Report) -> str:
    lost = f"{len(report.lost):,} lost"
    if report.lost:
        lost += f" ({', '.join(report.lost[:SHOWN])}{', …' if len(report.lost) > SHOWN else ''})"
    return (
        f"{report.kills} kills: {report.acknowledged:,} tasks acknowledged, {report.completed:,} "
        f"completed, {lost}, {report.begun_again:,} begun more than once"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qcore.crash_test", description=__doc__)
    parser.add_argument("url", help="where tasks wait; a queue of its own is made and removed")
    parser.add_argument(
        "--tasks", type=int, default=TASKS, help="to enqueue [default: %(default)s]"
    )
    parser.add_argument(
        "--kills", type=int, default=KILLS, help="of processes [default: %(default)s]"
    )
    # what the trial itself starts
    parser.add_argument("--role", choices=["produce", "work"], help=argparse.SUPPRESS)
    parser.add_argument("--queue", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--to-the-end", action="store_true", help=argparse.SUPPRESS)
    return parser
