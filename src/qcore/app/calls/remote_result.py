"""What a handler returned in another process, where the value itself cannot leave that process."""

from qcore.domain.errors import CannotEncode
from qcore.domain.record import record


@record
class RemoteResult:
    """Stand in for a result: what it is in the serializer's format, or why it has no form in it."""

    data: bytes = b""
    refusal: str | None = None

    def encoded(self) -> bytes:
        """Return the result as bytes; raise `CannotEncode` as its own process would have."""
        if self.refusal is not None:
            raise CannotEncode(self.refusal)
        return self.data
