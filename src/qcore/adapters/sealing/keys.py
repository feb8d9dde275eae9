"""Keys of seals: each an id, which is stored with what it seals, and a secret, never shown."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

from qcore.domain.errors import InvalidOption

Secret: TypeAlias = bytes | str
Keys: TypeAlias = Mapping[str, Secret] | Sequence[tuple[str, Secret]]
"""Ids and secrets: the first key seals, every one opens."""

T = TypeVar("T")

MAX_ID: Final = 31
"""Characters: fewer than any valid secret has, so that a secret given as an id is never shown."""
ID: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_ID}}}")
_EXPECTED: Final = "expected pairs of an id and a secret, at least one"


def prepared(keys: Keys, prepare: Callable[[str, Secret], T]) -> dict[str, T]:
    """Return what `prepare` makes of each key's id and secret, by id and in the order given.

    Raises `InvalidOption`, which names a key by its id, or by its place where the id is at fault:
    for then it may be the secret.
    """
    made: dict[str, T] = {}
    for place, pair in enumerate(_pairs(keys), start=1):
        id, secret = _checked(place, pair)  # noqa: A001  (what it is called)
        if id in made:
            raise InvalidOption(f"there are two keys {id!r}: expected an id of its own for each")
        made[id] = prepare(id, secret)
    if not made:
        raise InvalidOption(f"keys is empty: {_EXPECTED}")
    return made


def wrong_secret(id: str, found: str, expected: str) -> InvalidOption:  # noqa: A002  (as above)
    """Return the error that says of a key what is wrong with its secret, and not what it is."""
    return InvalidOption(f"the secret of key {id!r} is {found}: expected {expected}")


def _pairs(keys: object) -> Iterable[object]:
    if isinstance(keys, Mapping):
        return cast("Mapping[object, object]", keys).items()
    if isinstance(keys, Sequence) and not isinstance(keys, str | bytes):
        return cast("Sequence[object]", keys)
    raise InvalidOption(f"keys is a {type(keys).__name__}: {_EXPECTED}")


def _checked(place: int, pair: Any) -> tuple[str, Secret]:
    """Return an id and a secret that is bytes or text without blanks around it."""
    if not isinstance(pair, tuple | list) or len(cast("Sequence[object]", pair)) != 2:  # noqa: PLR2004
        raise InvalidOption(f"key {place} is no pair: {_EXPECTED}")
    id, secret = cast("Sequence[object]", pair)  # noqa: A001  (as above)
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise InvalidOption(
            f"the id of key {place} is not one: expected 1 to {MAX_ID} of A-Z, a-z, 0-9, "
            "'.', '_' and '-'"
        )
    if isinstance(secret, str) and secret != secret.strip():
        # mostly the newline at the end of a file, which another process may have stripped
        raise wrong_secret(id, "text with blanks around it", "none")
    if not isinstance(secret, str | bytes):
        raise wrong_secret(id, f"a {type(secret).__name__}", "bytes or text")
    return id, secret
