from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import decode, encode

from qcore.adapters.redis.encoding import decode_id, encode_id, encode_sequence, end_of_sequence
from qcore.adapters.redis.records import (
    RunRecord,
    Unreadable,
    decode_or_describe,
    decode_task,
    encode_task,
)
from qcore.adapters.redis.request_dedup import SessionPool
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import FIELDS, MAX_ID, NewTask
from qcore.domain.states import State
from qcore.domain.task_fields import TaskField
from qcore.testing.builders import NOW, a_task

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
MOMENTS = st.none() | st.floats(0, LAST_MOMENT)


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_lines_sort_as_their_numbers_do(one: int, two: int) -> None:
    """As text or as bytes, whatever their length: there is no last one."""
    assert (one < two) == (encode_sequence(one) < encode_sequence(two))
    assert (one == two) == (encode_sequence(one) == encode_sequence(two))


@given(st.integers(0, 2**53), st.binary(max_size=9))
def test_a_line_says_where_it_ends(number: int, rest: bytes) -> None:
    """Whatever follows it is found."""
    text = encode_sequence(number).encode() + rest
    assert text[end_of_sequence(text) :] == rest


@given(st.uuids())
def test_an_id_of_ours_takes_half_its_room(task: object) -> None:
    """Thirty-two hexadecimal digits are stored as sixteen bytes and a mark."""
    name = encode_id(f"{task}".replace("-", ""))
    assert isinstance(name, bytes)
    assert len(name) == 17
    assert decode_id(name) == f"{task}".replace("-", "")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=MAX_ID))
def test_every_id_comes_back(task: str) -> None:
    """However it looks."""
    name = encode_id(task)
    assert decode_id(name if isinstance(name, bytes) else name.encode()) == task


@pytest.mark.parametrize("task", ["A" * 32, "0123456789ABCDEF" * 2, "g" * 32, " 1" * 16, "é" * 32])
def test_what_only_looks_like_an_id_of_ours_stays_as_it_is(task: str) -> None:
    """Thirty-two characters that are not the digits we write come back as they were."""
    assert encode_id(task) == task


@given(
    st.builds(
        NewTask,
        name=st.just("n"),
        id=st.just("i"),
        payload=st.binary(max_size=20),
        priority=st.integers(-1000, 1000),
        due=st.none() | st.floats(0, 1e9),
        max_retry=st.integers(0, 99),
        max_crashes=st.integers(1, 99),
        backoff=st.sampled_from([None, "fixed(3)"]),
        deadline=st.none() | st.floats(2e9, LAST_MOMENT),
        timeout=st.none() | st.floats(1, 1e9),
        expires=st.none() | st.floats(2e9, LAST_MOMENT),
        retention=st.floats(0, 1e9),
        group=st.sampled_from([None, "g|h"]),
        headers=st.dictionaries(TEXTS, TEXTS, max_size=2),
    )
)
def test_every_wish_comes_back(task: NewTask) -> None:
    """All options, to the last bit."""
    value = encode_sequence(77).encode() + encode_task(task, NOW)
    assert decode_task("default", "i", State.PENDING, value, None).spec == task


@pytest.mark.parametrize(
    ("facts", "tail", "asked"),
    [
        (b"", [], {}),
        (b"", [NOW, None, 3, "a/b", {"a": "b"}, NOW + 9, "fixed:1", None],
         {"due": NOW, "timeout": None, "max_retry": 3, "content_type": "a/b",
          "headers": {"a": "b"}, "deadline": NOW + 9, "backoff": "fixed:1"}),
        (b"7 1800000060.25 0.5 1 1a%20b", [None, 1800.0, 25, "application/json", None, None,
                                           None, "a b"],
         {"priority": -7, "expires": NOW + 60.25, "retention": 0.5, "max_crashes": 1,
          "group": "a b"}),
        (b"0 - 0.0 3 0 a%20b", [None, 1800.0, 25, "application/json", None, None, None, None,
                                9.5, "replace"],
         {"unique_key": "a b", "unique_for": 9.5, "on_duplicate": "replace"}),
    ],
)  # fmt: skip
def test_what_the_first_release_wrote_is_read(
    facts: bytes, tail: list[Any], asked: dict[str, Any]
) -> None:
    """Facts, and an array whose end is left out where it is as usual."""
    value = b"a1" + facts + b"|" + encode(["n", NOW, b"x", *tail])
    seen = decode_task("default", "i", State.PENDING, value, None)
    assert seen.spec == NewTask("n", id="i", payload=b"x", **asked)
    assert seen.created == NOW


def test_what_a_newer_qcore_wrote_is_passed_over() -> None:
    """A field of an unknown name, or one more place, does not hinder the others."""
    spec = decode(
        encode_task(a_task(on_duplicate="replace", unique_key="k"), NOW).partition(b"|")[2]
    )
    spec[13:] = [{"colour": "red"}, "a place that nobody knows"]
    value = b"a10 - 0.0 3 0 k|" + encode(spec)
    seen = decode_task("default", "i", State.PENDING, value, None)
    assert (seen.spec.on_duplicate, seen.spec.unique_key) == ("replace", "k")


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_every_example_of_a_field_comes_back(field: TaskField) -> None:
    """Wherever it is in the record."""
    for value in field.examples:
        options = {"name": "n", "id": "i", **field.together, field.name: value}
        task = NewTask(**options)
        stored = b"a1" + encode_task(task, NOW)
        assert decode_task(task.queue, task.id, State.PENDING, stored, None).spec == task


@given(MOMENTS, MOMENTS, st.none() | TEXTS, st.none() | TEXTS, st.none() | st.binary(max_size=9))
def test_what_happened_comes_back(
    unhandled: float | None,
    finished: float | None,
    error: str | None,
    kind: str | None,
    result: bytes | None,
) -> None:
    """Numbers, moments and texts, whichever there are."""
    progress = RunRecord(None)
    progress.token, progress.attempts, progress.failures, progress.crashes = 7, 6, 5, 4
    progress.due, progress.unhandled_since, progress.finished = NOW, unhandled, finished
    progress.error, progress.result_type, progress.result = error, kind, result
    assert vars(RunRecord(progress.text())) == vars(progress)


def test_a_bare_token_is_a_first_attempt() -> None:
    """What most tasks ever have of a record."""
    progress = RunRecord(b"12")
    assert (progress.token, progress.attempts, progress.failures) == (12, 1, 0)


@pytest.mark.parametrize(
    ("value", "record"),
    [
        (b"", None),
        (b"a1", None),
        (b"a1|", None),
        (b"a1|\x93\x01\x02\x03", None),
        (b"a1x y z|\x90", None),
        (b"a1" + encode_task(a_task(), NOW), b"what"),
        (b"a1" + encode_task(a_task(), NOW), b"1 2 3|"),
        (b"a1" + encode_task(a_task(), NOW), b"1 2 3 4 5 6 7 8 9 x|"),
    ],
)
def test_what_was_tampered_with_says_so(value: bytes, record: bytes | None) -> None:
    """It is not claimed, and is decode_or_describe with what is wrong with it."""
    with pytest.raises(Unreadable):
        decode_task("default", "i", State.PENDING, value, record)
    seen = decode_or_describe("default", "i", State.PENDING, value, record)
    assert seen.id == "i"
    assert "cannot be read" in (seen.error or "")


def test_a_lane_is_used_by_one_caller_at_a_time() -> None:
    """While it is in use nobody else gets it, and afterwards it is not forgotten."""
    sessions = SessionPool()
    one, two = here = [sessions.acquire(), sessions.acquire()]
    three = sessions.acquire()
    names = {one.name, two.name, three.name}
    assert len(names) == 3
    assert (one.next(), one.next(), two.next()) == (1, 2, 1)
    sessions.release(here)
    again = [sessions.acquire() for _ in range(3)]
    assert {session.name for session in again} > {one.name, two.name}
    assert three.name not in {session.name for session in again}
    assert one.next() == 3
