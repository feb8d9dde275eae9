"""How the demo is to go: its command line."""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

MOST_USERS = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line says."""

    output: Path
    users: int
    rate: float
    kill_at: float
    thinking: float
    seed: int


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m examples.signup",
        description="Run a sign-up service, its background tasks, and a crash in the middle.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("signup-output"), help="where to write: %(default)s"
    )
    parser.add_argument("--users", type=int, default=200, help="people who sign up: %(default)s")
    parser.add_argument("--rate", type=float, default=25.0, help="of them a second: %(default)s")
    parser.add_argument(
        "--kill-at",
        type=float,
        default=0.5,
        help="the share of tasks done when a worker is killed, over 1 for never: %(default)s",
    )
    parser.add_argument(
        "--thinking",
        type=float,
        default=0.08,
        help="seconds that the mail server takes for a message: %(default)s",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="chooses the mails that are put off: %(default)s"
    )
    return parser


def refuse(problem: str) -> NoReturn:
    """Say how the demo is called and what is wrong with this call, and exit with status 2."""
    _parser().error(problem)


def read_plan(words: Sequence[str] | None = None) -> Plan:
    """Read the command line; exit with a message if it makes no sense."""
    plan = Plan(**vars(_parser().parse_args(words)))
    if not 1 <= plan.users <= MOST_USERS:
        refuse(f"--users is {plan.users}: expected 1 to {MOST_USERS}, as many as users.csv has")
    if not plan.rate > 0:
        refuse(f"--rate is {plan.rate}: expected more than 0 people a second")
    if not plan.kill_at >= 0:
        refuse(f"--kill-at is {plan.kill_at}: expected a share from 0; over 1 for no crash")
    return plan
