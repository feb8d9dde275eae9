"""`ScriptedDice`: random numbers for tests, given one by one or drawn from a seed."""

from random import Random

from qcore.domain.backoff import Roll
from qcore.domain.retry import Dice


class ScriptedDice:
    """Roll the numbers given, in order; a roll beyond them is an error that says so."""

    def __init__(self, *rolls: Roll) -> None:
        for roll in rolls:
            if not 0 <= roll < 1:
                raise ValueError(
                    f"{roll!r} is no roll: expected a number from 0 up to, not with, 1"
                )
        self._rolls = rolls
        self._next = 0

    def __call__(self) -> Roll:
        """Return the next roll."""
        if self._next == len(self._rolls):
            raise AssertionError(
                f"the dice were rolled more often than the {len(self._rolls)} times scripted: "
                f"{self._rolls}"
            )
        self._next += 1
        return self._rolls[self._next - 1]

    @property
    def left(self) -> int:
        """Return how many of the rolls were not asked for."""
        return len(self._rolls) - self._next


def fair_dice(seed: int) -> Dice:
    """Return dice that roll uniformly in [0, 1), the same rolls for the same seed."""
    return Random(seed).random  # noqa: S311  (dice for tests keep no secrets)
