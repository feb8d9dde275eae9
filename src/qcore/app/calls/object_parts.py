"""Take an object of a known kind of class apart: attrs, dataclasses, msgspec, pydantic."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

import attrs
import msgspec

MODEL_FIELDS: Final = "__pydantic_fields__"


def parts_of(value: object) -> Mapping[str, object] | None:
    """Return the fields of an object by name; None where its class is of no kind known here."""
    kind = type(value)
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
    elif is_dataclass(kind):
        names = [field.name for field in fields(kind)]
    elif isinstance(value, msgspec.Struct):
        names = list(value.__struct_fields__)
    elif hasattr(kind, MODEL_FIELDS):
        return dict(_parts_of_model(value, kind))
    else:
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def compared_parts_of(value: object) -> Mapping[str, object] | None:
    """Return those fields of an object that its own `==` looks at, as it does; else `parts_of`."""
    parts, kind = parts_of(value), type(value)
    if parts is None:
        return None
    if attrs.has(kind):
        found = {each.name: each for each in attrs.fields(kind)}
        return {
            name: part if (key := found[name].eq_key) is None else key(part)
            for name, part in parts.items()
            if found[name].eq
        }
    if is_dataclass(kind):
        ignored = {each.name for each in fields(kind) if not each.compare}
        return {name: part for name, part in parts.items() if name not in ignored}
    return parts


def _parts_of_model(model: Any, kind: Any) -> Iterator[tuple[str, object]]:
    """Yield what a pydantic model is compared by: fields, extra fields, private attributes."""
    # not all of `vars`, which holds cached properties too
    names: Iterable[str] = getattr(kind, MODEL_FIELDS)
    for name in names:
        yield name, getattr(model, name)
    for more in (model.__pydantic_extra__, model.__pydantic_private__):
        yield from (more or {}).items()
