"""Arguments of a task as a command line has them: `key=value`, or `key:=JSON`.

Where the handler is known its annotation decides what a value is: the text itself where that fits,
such as for a `str`, a date or an enum, else the JSON that the text is. Where it is not, and where
there is no annotation, a value is the JSON that the text is, else the text. After `:=` there is
always JSON.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from qcore.adapters.serializers import JsonSerializer
from qcore.app.calls.signature import Signature
from qcore.domain.errors import CannotDecode
from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.entrypoints.cli.errors import Wrong

EXPECTED: Final = "expected key=value, such as user=7, or key:=JSON"
_SERIALIZER: Final = JsonSerializer()
_ANY: Final[Any] = Any


@record
class Argument:
    """One of the arguments, as it was given."""

    name: str
    text: str
    is_json: bool

    def value(self, kind: Any) -> object:
        """Return its value as a type, `Any` for none; raise `Wrong` where it is none of that."""
        data = self._data()
        if self.is_json and data is None:
            raise Wrong(f"{self.name}:={self.text}: expected JSON, such as {self.name}:='[1, 2]'")
        if kind is _ANY:
            return self.text if data is None else json.loads(data)
        # text comes first, as the JSON 7 is also the name of something
        written = None if self.is_json else _written(self.text)
        tried = [each for each in (written, data) if each is not None]
        error: CannotDecode | None = None
        for each in tried:
            try:
                return _SERIALIZER.loads(each, kind)
            except CannotDecode as wrong:
                error = wrong
        raise Wrong(f"{self.name} is {shown(self.text)}: {error}")

    def _data(self) -> bytes | None:
        """Return its text if that is JSON, without NaN and the infinities; else None."""
        try:
            json.loads(self.text, parse_constant=_refuse)
            return self.text.encode()
        except (ValueError, RecursionError):
            return None


def parse(given: Sequence[str]) -> Sequence[Argument]:
    """Return arguments; raise `Wrong` for one without a name, or given twice."""
    parsed: dict[str, Argument] = {}
    for each in given:
        key, equals, text = each.partition("=")
        name = key.removesuffix(":")
        if not (equals and name):
            raise Wrong(f"{each!r}: {EXPECTED}")
        if name in parsed:
            raise Wrong(f"{each!r}: the argument {name!r} is given twice")
        parsed[name] = Argument(name, text, key.endswith(":"))
    return list(parsed.values())


def values_of(arguments: Sequence[Argument], signature: Signature) -> Mapping[str, Any]:
    """Return the values of arguments by name, as a handler takes them."""
    kinds = signature.annotations.kinds
    return {each.name: each.value(kinds.get(each.name, _ANY)) for each in arguments}


def _written(text: str) -> bytes | None:
    """Return a text as JSON; None for one that has no such form."""
    try:
        return json.dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)
