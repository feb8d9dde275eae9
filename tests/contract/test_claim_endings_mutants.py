"""The contract of what claims have ended can fail: each broken broker fails the case beside it."""

from collections.abc import Callable
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.task import RetentionPolicy
from qcore.testing.contract import ClaimEndingsContract
from tests.contract import claim_endings_mutants as mutants

NAMED = "test_a_claim_names_the_tasks_that_it_ended"
ORDERED = "test_claims_that_ended_tasks_stand_in_their_order"
ONCE = "test_what_was_told_is_not_told_again"

BROKEN: list[tuple[type[MemoryBroker], str]] = [
    (mutants.EndsInSilence, NAMED),
    (mutants.CountsOnly, NAMED),
    (mutants.ForgetsAttempts, "test_it_says_how_often_they_were_started"),
    (mutants.TellsTheLatestFirst, ORDERED),
    (mutants.CountsThoseNamed, "test_a_claim_names_no_more_than_a_sweep"),
    (mutants.TellsAgain, ONCE),
    (mutants.EndsInSilence, ONCE),
    (mutants.TellsAgain, "test_of_threads_that_ask_at_once_one_is_told"),
    (mutants.KeepsAll, "test_what_nobody_asks_for_is_not_kept_for_ever"),
    (mutants.ForgetsWhenClosed, "test_a_broker_that_is_closed_still_tells"),
]


def a_case(broker: type[MemoryBroker], name: str) -> Callable[[], None]:
    """Return a case of the contract, for a broken broker."""

    def make_broker(self: object, keep: RetentionPolicy) -> MemoryBroker:
        return broker(keep=keep)

    suite: Any = type("Suite", (ClaimEndingsContract,), {"make_broker": make_broker})()
    case: Callable[[], None] = getattr(suite, name)
    return case


@pytest.mark.parametrize(("broker", "case"), BROKEN)
def test_a_broken_broker_fails_the_case_beside_it(broker: type[MemoryBroker], case: str) -> None:
    """The case passes on the memory broker and fails on the broken one."""
    a_case(MemoryBroker, case)()
    with pytest.raises((AssertionError, ValueError)):
        a_case(broker, case)()


def test_every_case_has_a_broken_broker() -> None:
    """None of them passes whatever a broker does."""
    cases = {name for name in vars(ClaimEndingsContract) if name.startswith("test_")}
    assert cases == {case for _, case in BROKEN}
