"""A transaction to run, and what came of it."""

from typing import Generic, TypeVar

from qcore.adapters.links.sqlite.interfaces import Act, Tx

T = TypeVar("T")


class Job(Generic[T]):
    """A transaction to run: `act` alone, or `act` unless `look` has the answer."""

    __slots__ = ("act", "answer", "error", "look", "writes")

    def __init__(self, act: Act[T], look: Act[T | None] | None = None, *, writes: bool) -> None:
        self.act = act
        self.look = look
        self.writes = writes
        self.answer: T | None = None
        self.error: Exception | None = None

    def answered(self, tx: Tx) -> bool:
        """Run what needs no lock; return whether that was all."""
        if not self.writes:
            self.run(tx)
            return True
        if self.look is None:
            return False
        try:
            self.answer = self.look(tx)
        except Exception as error:  # noqa: BLE001  (the caller will raise it)
            self.error = error
        return self.answer is not None or self.error is not None

    def run(self, tx: Tx) -> None:
        """Run `act`, and note what came of it."""
        try:
            self.answer = self.act(tx)
        except Exception as error:  # noqa: BLE001  (the caller will raise it)
            self.error = error

    def afresh(self) -> "Job[T]":
        """Return it as if it had not been run."""
        self.answer = self.error = None
        return self

    def result(self) -> T:
        """Return the answer, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.answer  # type: ignore[return-value]  # T itself may be None
