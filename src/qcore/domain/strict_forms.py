"""Types of JSON objects that are read strictly: an unknown or a missing member is an error."""

from typing import Any, TypeAlias

from attrs import NOTHING, fields
from msgspec import defstruct

from qcore.domain.task_fields import REQUIRED

Member: TypeAlias = tuple[str, Any, Any]
"""Its name, its type, and its default; `REQUIRED` or `NOTHING` if it has none."""


def strict_form(name: str, members: list[Member], *, tag: str | None = None) -> Any:
    """Return a type of JSON objects with these members and no others.

    What is as its default is left out. With a tag, the member `kind` has it.
    """
    made = [
        (member, kind) if default is REQUIRED or default is NOTHING else (member, kind, default)
        for member, kind, default in members
    ]
    # what has no default comes first
    made.sort(key=len)
    return defstruct(
        name,
        made,
        forbid_unknown_fields=True,
        omit_defaults=True,
        kw_only=True,
        tag_field=None if tag is None else "kind",
        tag=tag,
    )


def members_of(kind: type[Any], **types: Any) -> list[Member]:
    """Return the fields of an attrs class as members, some with another type."""
    return [(each.name, types.get(each.name, each.type), each.default) for each in fields(kind)]
