"""What of a task is not to be seen by whoever looks after it: masked on the server, by name.

A field whose name fits a pattern is masked with all that is in it, however deep it is nested. What
was masked in a task's arguments is also looked for in its other texts, as an error may quote it.
Queries are asked of masked arguments, so that nobody finds out a value by searching for it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from attrs import field

from qcore.app.calls.chain_steps import CHAIN_HEADER
from qcore.app.client.qualifiers import ReadPayload
from qcore.app.client.query_terms import STAR, is_like
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.task import Task
from qcore.domain.text import shown

DEFAULT_MASK: Final = (
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*secret*",
    "*token*",
    "*api_key*",
    "*apikey*",
    "*private_key*",
    "*credential*",
    "*authorization*",
    "*cookie*",
    "*session_id*",
    "*card_number*",
    "cvv",
    "cvc",
    "pin",
    "otp",
)
HIDDEN: Final = "••••••"
SHORTEST: Final = 4
"""Characters from which on a masked value is looked for in other texts: "1" is in most of them."""
MOST_NAMES: Final = 10_000
DEEPEST: Final = 100
TOO_DEEP: Final = f"… (nested more than {DEEPEST} deep)"
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^/\s:@\"'<>]*):([^/\s@\"'<>]+)@")


class Masked(str):
    """The text that stands for what is masked."""

    __slots__ = ()


MASKED: Final = Masked(HIDDEN)


class Mask:
    """Mask fields whose names fit one of some patterns, in capitals or not, with `-` as `_`."""

    def __init__(self, patterns: Collection[str] = DEFAULT_MASK) -> None:
        given: Collection[object] = patterns
        if isinstance(given, str) or not all(isinstance(each, str) and each for each in given):
            raise InvalidOption(
                f"mask is {shown(patterns)}: expected patterns of names, such as ['*password*']"
            )
        self._patterns = [tuple(_folded(each).split(STAR)) for each in patterns]
        self.hides = lru_cache(MOST_NAMES)(self._hides)
        """Return whether a field of a name is masked."""

    def _hides(self, name: str) -> bool:
        folded = _folded(name)
        return any(is_like(folded, parts) for parts in self._patterns)

    def of(self, data: object, secrets: Collection[str] = (), depth: int = 0) -> Any:
        """Return plain data with `MASKED` in place of what is not to be seen, in texts too."""
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(data, dict):
            held = cast("dict[object, object]", data)
            return {
                key: MASKED if self.hides(str(key)) else self.of(value, secrets, depth + 1)
                for key, value in held.items()
            }
        if isinstance(data, list | tuple):
            return [self.of(each, secrets, depth + 1) for each in cast("Sequence[object]", data)]
        return without(secrets, data) if isinstance(data, str) else data

    def masked(self, task: Task, read: ReadPayload) -> "MaskedTask":
        """Return a task's arguments and texts as they may be seen."""
        data = read(task)
        is_readable = not isinstance(data, bytes)
        secrets = self.secrets([data if is_readable else None, dict(task.spec.headers)])
        return MaskedTask(
            self, secrets, self.of(data, secrets) if is_readable else None, is_readable
        )

    def secrets(self, data: object) -> Collection[str]:
        """Return the texts in plain data that are masked, the longest first."""
        return sorted({*self._secrets(data, depth=0)}, key=len, reverse=True)

    def _secrets(self, data: object, depth: int, *, is_hidden: bool = False) -> Iterator[str]:
        if depth > DEEPEST:
            return
        if isinstance(data, dict):
            for key, value in cast("dict[object, object]", data).items():
                hides = is_hidden or self.hides(str(key))
                yield from self._secrets(value, depth + 1, is_hidden=hides)
        elif isinstance(data, list | tuple):
            for each in cast("Sequence[object]", data):
                yield from self._secrets(each, depth + 1, is_hidden=is_hidden)
        elif is_hidden and len(text := _text(data)) >= SHORTEST:
            yield text

    def reader(self, read: ReadPayload) -> ReadPayload:
        """Return what reads a task's arguments masked: nothing where they cannot be read."""

        def masked(task: Task) -> object:
            data = read(task)
            return None if isinstance(data, bytes) else self.of(data)

        return masked


@record
class MaskedTask:
    """What may be seen of a task, and what of it is looked for in its other texts."""

    mask: Mask
    secrets: Collection[str] = field(repr=False)
    data: Any = field(hash=False)
    """Its arguments; None where they cannot be read."""
    is_readable: bool

    def text(self, text: str) -> str:
        """Return a text without what was masked in the task."""
        return without(self.secrets, text)

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return headers as they may be seen; the one of a chain as it is, to be decoded."""
        plain = {name: text for name, text in headers.items() if name != CHAIN_HEADER}
        masked: dict[str, str] = self.plain(plain)
        if CHAIN_HEADER in headers:
            masked[CHAIN_HEADER] = headers[CHAIN_HEADER]
        return masked

    def plain(self, data: object) -> Any:
        """Return other data of the task, such as its result, as they may be seen."""
        return self.mask.of(data, self.secrets)


def without(secrets: Collection[str], text: str) -> str:
    """Return a text with `MASKED` in place of secrets, and of passwords in URLs."""
    for secret in secrets:
        text = text.replace(secret, MASKED)
    return without_passwords(text)


def without_passwords(text: str) -> str:
    """Return a text with `MASKED` in place of the passwords in its URLs."""
    return _PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}@", text) if "://" in text else text


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def _text(value: object) -> str:
    try:
        return value if isinstance(value, str) else str(value)
    except ValueError:
        # Python writes no whole number of more than some thousand digits
        return ""
