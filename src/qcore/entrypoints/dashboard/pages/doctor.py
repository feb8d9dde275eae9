"""The doctor: what is well with the store, what is not, and what to do about it."""

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from qcore.domain.diagnostics import GRADES, Finding
from qcore.entrypoints.dashboard.board import Examination
from qcore.entrypoints.dashboard.masking import without_passwords
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Page, Visit

COMMAND: Final = ("doctor",)


async def ask(visit: Visit) -> Page:
    """Say what an examination does, and offer it; show what the last one has found."""
    return Page("doctor.html", "Doctor", {"examined": visit.board.examined}, COMMAND)


async def examine(visit: Visit) -> Page:
    """Examine the store. A `POST`, as it writes to try things out, and removes that again."""
    # late: no other page needs it
    from qcore.doctor import diagnose

    found = await diagnose(visit.board.q.broker, thorough=False)
    findings = _worst_first([_without_passwords(each) for each in found])
    visit.board.examined = examined = Examination(visit.now, findings)
    return Page("doctor.html", "Doctor", {"examined": examined}, COMMAND)


def _worst_first(found: Sequence[Finding]) -> Sequence[Finding]:
    return sorted(found, key=lambda each: -GRADES.index(each.grade))


def _without_passwords(finding: Finding) -> Finding:
    found, to_do = without_passwords(finding.found), without_passwords(finding.to_do)
    return evolve(finding, found=found, to_do=to_do)


ROUTES: Final = (
    Route("GET", "doctor", Right.STORE_EXAMINE, ask),
    Route("POST", "doctor", Right.STORE_EXAMINE, examine),
)
