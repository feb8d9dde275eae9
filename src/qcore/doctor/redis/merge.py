"""Merge the findings about several servers into one list."""

from collections.abc import Mapping, Sequence

from attrs import evolve

from qcore.domain.diagnostics import Finding, Grade


def merged_findings(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Return what was found at each server as one list: a matter that is well everywhere is a line.

    What is not well names the servers where it is so, unless there is but one.
    """
    if len(found) < 2:  # noqa: PLR2004  (one has nothing to be told apart from)
        return [finding for findings in found.values() for finding in findings]
    matters = dict.fromkeys(each.about for findings in found.values() for each in findings)
    merged: list[Finding] = []
    for about in matters:
        rows = [(name, each) for name, its in found.items() for each in its if each.about == about]
        bad = [(name, each) for name, each in rows if each.grade is not Grade.OK]
        merged += _named(bad, len(found)) if bad else [_all_well(rows, len(found))]
    return merged


def _named(rows: Sequence[tuple[str, Finding]], servers: int) -> list[Finding]:
    """Return what is so of some servers: findings with the same remedy are one."""
    alike: dict[tuple[Grade, str], list[tuple[str, Finding]]] = {}
    for name, finding in rows:
        alike.setdefault((finding.grade, finding.to_do), []).append((name, finding))
    return [_one_of(its, servers) for its in alike.values()]


def _one_of(rows: Sequence[tuple[str, Finding]], servers: int) -> Finding:
    names = [*dict.fromkeys(name for name, _ in rows)]
    _, first = rows[0]
    if len({each for _, each in rows}) == 1:
        where = f"all {servers} servers" if len(names) == servers else ", ".join(names)
        return evolve(first, found=f"{where}: {first.found}")
    also = f"; {', '.join(names[1:])} too" if names[1:] else ""
    return evolve(first, found=f"{names[0]}: {first.found}{also}")


def _all_well(rows: Sequence[tuple[str, Finding]], servers: int) -> Finding:
    name, first = rows[0]
    if len(rows) == servers and len({each for _, each in rows}) == 1:
        return evolve(first, found=f"all {servers} servers: {first.found}")
    return evolve(first, found=f"{name}: {first.found}; the others are well too")
