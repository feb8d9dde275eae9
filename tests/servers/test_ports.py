import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

import pytest

from tests.servers import ports

ROOT = Path(__file__).parents[2]
TAKES_ONE = "from tests.servers import ports; print(ports.free_port(), flush=True); input()"


class Dice(SystemRandom):
    """Dice that fall as they are to, at first."""

    def __init__(self, *first: int) -> None:
        super().__init__()
        self.first = list(first)

    def choice(self, seq: Sequence[int]) -> int:
        return self.first.pop() if self.first else super().choice(seq)


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by this process nor by another that runs tests, though nothing listens there yet."""
    ours = ports.free_port()
    with subprocess.Popen(
        [sys.executable, "-c", TAKES_ONE],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        dice = Dice(ours, theirs)
        monkeypatch.setattr(ports, "_dice", dice)
        next_one = ports.free_port()
        other.communicate("\n")
    assert dice.first == []
    assert next_one not in {ours, theirs}
