"""Tell what a type leaves open, and what of its values cannot arrive."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import inspect as shapes

_OPEN: Final = (shapes.AnyType, shapes.CustomType, shapes.RawType)
_HASH_CACHE: Final = "_attrs_cached_hash"


def names_any(kind: Any) -> bool:
    """Return whether a type leaves open what a part of its values is, as `Any` and `list` do.

    What a class of another library makes of its parts is not known: it counts as open.
    """
    return any(isinstance(shape, _OPEN) for shape in _shapes_of(kind))


def hash_caching_class(kind: Any) -> type | None:
    """Return an attrs class within a type that caches its hash, None if there is none.

    Its objects could not be hashed when they arrive: msgspec makes them without `__init__`, which
    would have made room for the cache.
    """
    for shape in _shapes_of(kind):
        if isinstance(shape, shapes.DataclassType):
            code = getattr(shape.cls.__hash__, "__code__", None)
            if code is not None and _HASH_CACHE in code.co_names:
                return shape.cls
    return None


def _shapes_of(kind: Any) -> Iterator[shapes.Type | shapes.Field]:
    """Yield the descriptions of a type and of all types within it, once each."""
    try:
        found: list[shapes.Type | shapes.Field] = [shapes.type_info(kind)]
    except Exception:  # noqa: BLE001  (whatever the annotations of a class raise)
        found = [shapes.AnyType()]
    seen: set[int] = set()
    for shape in found:
        yield shape
        for part in _parts_of(shape):
            if isinstance(part, shapes.Type | shapes.Field) and id(part) not in seen:
                seen.add(id(part))
                found.append(part)


def _parts_of(shape: shapes.Type | shapes.Field) -> Iterator[Any]:
    for name in shape.__struct_fields__:
        part: Any = getattr(shape, name)
        yield from part if type(part) is tuple else (part,)
