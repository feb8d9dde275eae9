"""The peers' environments: made once, of pinned versions, in a folder that git does not see."""

import subprocess
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

from bench.peers.catalogue import Entry
from bench.peers.failures import Failure

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).parent / "environments"
HOME = ROOT / ".bench"
ATTEMPTS = 3
PAUSE = 5.0
LAST_LINES = 5


def interpreter(entry: Entry) -> str:
    """Return the interpreter by which a system runs. Makes its environment if it is not there.

    Raises `Failure` if that cannot be done.
    """
    if entry.environment is None:
        return sys.executable
    made = _made(entry.environment)
    if isinstance(made, Failure):
        raise made
    return made


@cache
def _made(environment: str) -> str | Failure:
    """Return the interpreter, or why there is none: once, for all systems that share it."""
    folder, pins = HOME / environment, PINS / f"{environment}.txt"
    stamp = folder / "made-of.txt"
    if not stamp.exists() or stamp.read_text() != pins.read_text():
        try:
            _make(folder, pins)
        except Failure as failure:
            return failure
        stamp.write_text(pins.read_text())
    return str(folder / "bin" / "python")


def version_of(entry: Entry) -> str:
    """Return which version of a system is measured."""
    if entry.environment is None:
        return version(entry.distribution)
    return pinned((PINS / f"{entry.environment}.txt").read_text())[entry.distribution]


def pinned(text: str) -> dict[str, str]:
    """Return the versions in a file of pins, by their names."""
    rows = (row.partition("==") for row in text.splitlines() if not row.startswith("#"))
    return {name: number for name, _, number in rows}


def _make(folder: Path, pins: Path) -> None:
    print(f"making .bench/{folder.name} (once) …", file=sys.stderr, flush=True)
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    install = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _run(*install, "install", "-q", "-r", str(pins))
            break
        except Failure as failure:
            if attempt == ATTEMPTS:
                raise Failure(
                    f"the environment .bench/{folder.name} could not be made of "
                    f"{pins.relative_to(ROOT)} in {ATTEMPTS} attempts; is the package "
                    f"index within reach? {failure}"
                ) from None
            print(f"{failure}\ntrying again …", file=sys.stderr, flush=True)
            time.sleep(PAUSE * attempt)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        rows = [row for row in done.stderr.splitlines() if row and not row.startswith("WARNING")]
        raise Failure(f"{command[2]} said: " + "\n".join(rows[-LAST_LINES:]))
