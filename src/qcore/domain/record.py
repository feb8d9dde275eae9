"""Frozen records for free.

To the type checker a record is `attrs.frozen`; at run time it is a plain slotted class with
hashing, because `__setattr__` guards cost 0.8 µs a record (attrs' own documentation, "How does
frozen work"). Whoever writes to one has been told off by the type checker already.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as record
else:
    from functools import partial

    from attrs import define
    from attrs.setters import NO_OP

    # without it a record with one converter would convert whatever is set, through a `__setattr__`
    record = partial(define, unsafe_hash=True, on_setattr=NO_OP)

__all__ = ["record"]
