from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore.domain.errors import InvalidOption
from qcore.domain.queue_weights import QueueWeights, Strict, Weighted

WEIGHTS = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 12), min_size=1)


def served(shares: QueueWeights, rooms: list[int]) -> Counter[str]:
    """Return how many turns each queue gets when room comes in these sizes."""
    total: Counter[str] = Counter()
    for room in rooms:
        total.update(shares.split(room).quotas)
    return total


@given(WEIGHTS, st.lists(st.integers(0, 500), max_size=20))
def test_quotas_sum_to_the_room(weights: dict[str, int], rooms: list[int]) -> None:
    """Whatever room there is, all of it is given and no more."""
    shares = Weighted(weights)
    for room in rooms:
        demand = shares.split(room)
        assert demand.limit == room == sum(demand.quotas.values())
        assert min(demand.quotas.values()) >= 0
        assert set(demand.quotas) == set(weights)


@settings(max_examples=25)
@given(WEIGHTS, st.lists(st.integers(1, 100), min_size=1, max_size=10))
def test_shares_hold_within_two_percent_over_ten_thousand(
    weights: dict[str, int], sizes: list[int]
) -> None:
    """Asked for in batches of any sizes, ten thousand turns are shared by weight."""
    rooms, left = list[int](), 10_000
    while left:
        rooms.append(min(sizes[len(rooms) % len(sizes)], left))
        left -= rooms[-1]
    turns = served(Weighted(weights), rooms)
    for queue, weight in weights.items():
        assert turns[queue] == pytest.approx(10_000 * weight / sum(weights.values()), rel=0.02)


@pytest.mark.parametrize("room", [1, 7, 10, 100])
def test_the_usual_weights_are_exact_over_whole_rounds(room: int) -> None:
    """Six, three and one of ten, for a worker with one slot as for one with a hundred."""
    shares = Weighted({"critical": 6, "default": 3, "low": 1})
    turns = served(shares, [room] * (7_000 // room))
    assert turns == {"critical": 4_200, "default": 2_100, "low": 700}


@given(WEIGHTS)
def test_no_queue_starves(weights: dict[str, int]) -> None:
    """In one round of single turns every queue is served as often as its weight says."""
    shares = Weighted(weights)
    for _ in range(3):
        assert served(shares, [1] * sum(weights.values())) == Counter(weights)


@given(WEIGHTS)
def test_no_queue_waits_longer_than_a_round(weights: dict[str, int]) -> None:
    """Between two turns of a queue there is at most the sum of the others' turns twice."""
    shares, total = Weighted(weights), sum(weights.values())
    turns = [queue for _ in range(3 * total) for queue, n in shares.split(1).quotas.items() if n]
    for queue in weights:
        at = [n for n, turn in enumerate(turns) if turn == queue]
        assert max(b - a for a, b in zip([-1, *at], [*at, 3 * total], strict=True)) <= 2 * total


def test_turns_are_spread_and_not_bunched() -> None:
    """The heavy queue does not have all its turns in a row, as in nginx."""
    shares = Weighted({"a": 5, "b": 1, "c": 1})
    turns = [queue for _ in range(7) for queue, n in shares.split(1).quotas.items() if n]
    assert "".join(turns) == "aabacaa"


def test_the_heaviest_queue_is_filled_up_first() -> None:
    """What room is left over goes to the queues in the order of their weights."""
    assert Weighted({"low": 1, "critical": 6, "default": 3}).queues == (
        "critical",
        "default",
        "low",
    )


def test_a_lone_queue_has_all_the_room() -> None:
    """There is nothing to share."""
    assert dict(Weighted({"a": 3}).split(10).quotas) == {"a": 10}


def test_no_room_is_no_turn() -> None:
    """A full worker that asks costs no queue its turn."""
    shares = Weighted({"a": 1, "b": 1})
    assert served(shares, [0, 1, 0, 1, 0]) == {"a": 1, "b": 1}


@given(st.integers(0, 1_000))
def test_strict_gives_no_quotas(room: int) -> None:
    """Strictly in order: a broker fills the room from the first queue that has work."""
    shares = Strict(["critical", "default"])
    demand = shares.split(room)
    assert demand.limit == room
    assert list(demand.quotas.items()) == [("critical", 0), ("default", 0)]
    assert shares.queues == ("critical", "default")


@pytest.mark.parametrize("weight", [0, -1, 1.5, True, "1", None])
def test_a_weight_that_is_none_is_refused(weight: int) -> None:
    """A weight is a whole number from one; the message names the queue and the value."""
    with pytest.raises(InvalidOption, match=r"'low' is .*: expected a whole number from 1"):
        Weighted({"critical": 1, "low": weight})


def test_a_worker_needs_a_queue() -> None:
    """Sharing between no queues is refused."""
    with pytest.raises(InvalidOption, match="at least one queue"):
        Weighted({})
