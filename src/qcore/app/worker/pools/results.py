"""What a handler returns, on its way from a child process to the worker.

The worker needs it for a middleware, to keep it, and for the next step of a chain. A value that
cannot be pickled is encoded where it is, as the worker would have encoded it. That it cannot be is
no failure as long as nobody wants it.
"""

import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qcore.app.calls.codec import Codec
from qcore.app.calls.remote_result import RemoteResult
from qcore.app.calls.signature import Signature
from qcore.domain.errors import CannotEncode
from qcore.domain.retry import described


class Opaque:
    """Stand in for a value; it is read as an object of a class that has the name of the value's.

    So the worker's serializer refuses it as it would refuse the value.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        """Have an object of another class made in the other process."""
        return opaque, (self._name,)


def opaque(name: str) -> object:
    """Return an object that is only known by the name of its class."""
    return type(name, (), {})()


def packed(value: object, signature: Signature | None, codec: Codec | None) -> bytes:
    """Return a result as bytes, or what can be of it; whatever its class does raises nothing.

    `signature` and `codec` are those of the handler, if they are known.
    """
    with suppress(BaseException):
        return pickle.dumps(value)
    if signature is None or codec is None:
        return pickle.dumps(Opaque(name_of(value)))
    try:
        result = RemoteResult(signature.encode_result(value, codec))
    except CannotEncode as error:
        result = RemoteResult(refusal=str(error))
    except BaseException as error:  # noqa: BLE001  (whatever the classes in it raise)
        result = RemoteResult(refusal=described(error))
    return pickle.dumps(result)


def unpacked(data: bytes, name: str) -> Any:
    """Return a result; an opaque object of a class of this name where it cannot be read."""
    with suppress(BaseException):
        return pickle.loads(data)  # noqa: S301  (of our child)
    return opaque(name)


def name_of(value: object) -> str:
    """Return the name of a value's class."""
    return str.__str__(type(value).__name__)
