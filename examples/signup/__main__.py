"""Run the demo: `make demo`, or `python -m examples.signup` from the root of the repository."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from shutil import rmtree
from typing import Final

from rich.console import Console

from examples.signup.stage.plan import Plan, read_plan, refuse

MARK: Final = ".signup-demo"
"""A folder with this file in it is ours to clear."""


def clear(folder: Path) -> None:
    """Make an empty folder; exit if it holds anything that no demo has made."""
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty, and not of an earlier run: choose another --output")
    if folder.exists():
        rmtree(folder)
    for each in (folder, folder / "mail", folder / "pictures", folder / "thumbnails"):
        each.mkdir(parents=True)
    (folder / MARK).touch()


def configure(plan: Plan) -> None:
    """Write the environment that this process and its workers read their settings from."""
    os.environ["SIGNUP_HOME"] = str(plan.output.resolve())
    # the demo brings its own queue, whatever else is being worked on in this shell
    os.environ.pop("QCORE_URL", None)


def run(plan: Plan) -> int:
    """Run the demo, and return its exit status."""
    # the settings are read when these are imported
    from examples.signup.stage.show import show
    from examples.signup.stage.workers import WorkerDied

    console = Console()
    try:
        return asyncio.run(show(plan, console))
    except* WorkerDied as group:
        for death in group.exceptions:
            console.print(str(death), style="red", markup=False, soft_wrap=True)
    return 1


def main() -> int:
    """Read the command line, make room, and run the demo."""
    plan = read_plan()
    try:
        clear(plan.output)
    except OSError as error:
        refuse(
            f"--output is {plan.output}: cannot be made an empty folder: {error.strerror or error}"
        )
    configure(plan)
    try:
        return run(plan)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
