"""A transaction that is waiting to be run, and its result."""

from typing import Generic, TypeVar

from qcore.adapters.links.sqlite.interfaces import Tx, TxFunction

T = TypeVar("T")


class WorkItem(Generic[T]):
    """A call of `read` or `write`: run `function`, unless `precheck` has the answer already."""

    __slots__ = ("answer", "error", "function", "precheck", "writes")

    def __init__(
        self,
        function: TxFunction[T],
        precheck: TxFunction[T | None] | None = None,
        *,
        writes: bool,
    ) -> None:
        self.function = function
        self.precheck = precheck
        self.writes = writes
        self.answer: T | None = None
        self.error: Exception | None = None

    def run_without_lock(self, tx: Tx) -> bool:
        """Run what takes no write lock, a read or the precheck; return whether that was all."""
        if not self.writes:
            self.run(tx)
            return True
        if self.precheck is None:
            return False
        try:
            self.answer = self.precheck(tx)
        except Exception as error:  # noqa: BLE001  (raised to the caller by `result`)
            self.error = error
        return self.answer is not None or self.error is not None

    def run(self, tx: Tx) -> None:
        """Run the function, and keep its answer or its error."""
        try:
            self.answer = self.function(tx)
        except Exception as error:  # noqa: BLE001  (raised to the caller by `result`)
            self.error = error

    def reset(self) -> "WorkItem[T]":
        """Drop answer and error, so that it can be run again; return itself."""
        self.answer = self.error = None
        return self

    def result(self) -> T:
        """Return the answer, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.answer  # type: ignore[return-value]  # T itself may be None
