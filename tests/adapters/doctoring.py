"""Stores examined, and what was found of one matter."""

from collections.abc import Iterable, Sequence
from typing import Any

from qcore import connect
from qcore.domain.findings import Finding, Grade
from qcore.ports import Examined


async def examined(url: str) -> Sequence[Finding]:
    """Return what the broker of a URL finds."""
    broker = connect(url)
    assert isinstance(broker, Examined)
    try:
        return await broker.examine()
    finally:
        await broker.close()


def of(found: Iterable[Finding], about: str) -> Finding:
    """Return the one finding of a matter."""
    its = [each for each in found if each.about == about]
    assert len(its) == 1, its
    return its[0]


def bad(found: Iterable[Finding], *but: str) -> list[Finding]:
    """Return what is not well, apart from some matters."""
    return [each for each in found if each.grade is not Grade.OK and each.about not in but]


def worst(found: Iterable[Finding]) -> Any:
    """Return the only finding that is not well."""
    [it] = bad(found)
    return it
