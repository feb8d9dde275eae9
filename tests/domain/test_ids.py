import uuid

from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.ids import ENTROPY_BYTES, task_id
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import NewTask
from qcore.testing.builders import NOW

MOMENTS = st.floats(0, LAST_MOMENT)
ENTROPY = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)


@given(MOMENTS, ENTROPY)
def test_an_id_is_a_uuid_of_version_seven(now: float, entropy: bytes) -> None:
    """Version, variant and the 48 bits of milliseconds are where RFC 9562 has them."""
    made = uuid.UUID(task_id(now, entropy))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.hex == task_id(now, entropy)
    assert made.int >> 80 == int(now * 1_000)


@given(MOMENTS, MOMENTS, ENTROPY, ENTROPY)
def test_ids_grow_with_time(one: float, two: float, here: bytes, there: bytes) -> None:
    """Of two ids of different milliseconds the later is the greater, as text too."""
    early, late = sorted((one, two))
    if int(early * 1_000) < int(late * 1_000):
        assert task_id(early, here) < task_id(late, there)


@given(st.lists(st.integers(0, 2**74 - 1), unique=True, max_size=50))
def test_ids_of_one_moment_differ_by_their_entropy(numbers: list[int]) -> None:
    """All 74 bits that RFC 9562 leaves to chance are used: different bits, different ids."""
    ids = {task_id(NOW, _spread(number)) for number in numbers}
    assert len(ids) == len(numbers)


def _spread(number: int) -> bytes:
    """Return 74 bits in the places of an id that are not fixed."""
    high, low = number >> 62, number & (2**62 - 1)
    return (high << 64 | low).to_bytes(ENTROPY_BYTES)


def test_a_known_id() -> None:
    """The example of RFC 9562, appendix A.6."""
    entropy = bytes.fromhex("0cc318c4dc0c0c07398f")
    assert task_id(1_645_557_742.0, entropy) == "017f22e279b07cc398c4dc0c0c07398f"


@given(MOMENTS, ENTROPY)
def test_an_id_is_fit_for_a_task(now: float, entropy: bytes) -> None:
    """A task may be called by any id that is made."""
    made = task_id(now, entropy)
    assert NewTask("n", made).id == made
