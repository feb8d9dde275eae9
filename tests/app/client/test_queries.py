"""The query language: what a text means, what is refused, and that each query has a text."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore import InvalidOption, State, Task
from qcore.app.calls.chain_steps import CHAIN_HEADER, STEP_HEADER
from qcore.app.client.qualifiers import QUALIFIERS
from qcore.domain.origin import Origin, OriginKind, following, with_origin
from qcore.queries import Query, Term, Word
from qcore.testing import a_task
from qcore.testing.builders import NOW

DATA: Any = {
    "user": {"id": 7, "name": "Ann, B.", "vip": True},
    "to": ["ann@example.com", "bob@example.com"],
    "amount": 12.5,
    "x.y": None,
}


def a_stored(**changes: Any) -> Task:
    """Return a dead task of these options."""
    spec = a_task(name="email:welcome", queue="mail", tags=["vip", "eu"], priority=5, **changes)
    return Task(
        spec,
        State.DEAD,
        created=NOW - 7_200,
        due=NOW + 600,
        attempts=3,
        failures=2,
        error="Connection Timed out after 30 s",
        finished=NOW - 60,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "state:dead",
        "state:retry,dead queue:mail",
        "-state:active -queue:sms",
        "name:email:welcome name:email:* name:*welcome name:*l*w*",
        'name:"email:welcome"',
        "tag:vip -tag:us",
        'error:"timed out" error:TIMED error:conn*after',
        "args.user.id:7 args.user.name:Ann* args.user.vip:true",
        'args."x.y":null',
        "args.to:bob@example.com args.to.0:ann* -args.to.1:ann*",
        "args.amount:12.5 args.amount:12.50 args.amount:>12 args.user.id:<=7",
        "payload:EXAMPLE text:welcome text:bob text:timed -text:nobody",
        "priority:5 priority:>4 attempts:3 failures:<3 crashes:0",
        "created:>1h created:<1d created:>=119m30s created:<2200-01-01",
        "finished:<2m due:<15m due:>5m due:>2020-01-01T00:00+02:00",
    ],
)
def test_a_task_is_selected_by_all_that_fits_it(text: str) -> None:
    """Terms are all asked, words of one term any; a star is any text, and a minus means not."""
    assert Query.parse(text).predicate(NOW, lambda _: DATA)(a_stored())


@pytest.mark.parametrize(
    "text",
    [
        "state:retry",
        "-state:dead",
        "name:email name:email:",
        'name:"email:*"',
        "tag:vi",
        "error:timeout",
        "args.user.id:8",
        "args.user:7",
        "args.nobody:*",
        'args.amount:">12"',
        "args.to.2:*",
        "priority:>5",
        "created:>2h",
        "finished:>2026-01-01 -finished:>2026-01-01",
        "due:<0s",
        "group:*",
        "state:dead tag:us",
    ],
)
def test_a_task_is_left_out_by_one_term_that_does_not_fit(text: str) -> None:
    """However many others do."""
    assert not Query.parse(text).predicate(NOW, lambda _: DATA)(a_stored())


def test_bytes_that_nobody_can_decode_are_searched_as_they_are() -> None:
    """What is readable in them is found; an argument is not."""
    unread = a_stored(payload=b"\xffsecret-17\xfe")
    assert Query.parse("payload:secret-17").predicate(NOW, lambda t: t.spec.payload)(unread)
    assert not Query.parse("args.id:17").predicate(NOW, lambda t: t.spec.payload)(unread)


def test_odd_data_is_no_obstacle() -> None:
    """Nested deeper than Python calls, or a number longer than it writes: others are found."""
    deep: Any = "deep"
    for _ in range(50_000):
        deep = [deep]
    data = {"a": deep, "o": {"x": deep}, "huge": 10**10_000, "b": {"c": [{"d": 1}, {"d": 2}]}}
    for text in [
        "text:deep",
        "args.a:deep",
        "args.b.c.d:2",
        "args.b.c.1.d:2",
        "args.huge:>1",
        "args.o:*",
    ]:
        assert Query.parse(text).predicate(NOW, lambda _: data)(a_stored()), text
    for text in ["payload:nobody", "args.huge:7", "args.b.c.0.d:2", "args.b.c.9.d:2", "args.b.d:1"]:
        assert not Query.parse(text).predicate(NOW, lambda _: data)(a_stored()), text


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("stat:dead", "'stat:dead' at character 1", "one of state, queue, name"),
        ("timeout", "'timeout' at character 1", "text:… for text"),
        ("queue:a state:ded", "'ded' at character 15", "one of scheduled, pending"),
        ("state:gone", "'gone' at character 7", "one of scheduled"),
        ("name", "its end at character 5", "a colon and a value"),
        ("name:", "its end at character 6", "a value, in quotes"),
        ("name:a,,b", "',b' at character 8", "a value, in quotes"),
        ('name:"a', "'\"a' at character 6", "a quote that is closed"),
        (r'name:"a\n"', r"'\"a\\\\n\"' at character 6", "a quote that is closed"),
        ('name:"a"b', "'b' at character 9", "a blank, or a comma"),
        ("args:7", "':7' at character 5", "the name of an argument"),
        ("args.a..b:7", "'.b:7' at character 8", "the name of an argument"),
        ("args.a:>x", "'>x' at character 8", "a number after >"),
        ("priority:high", "'high' at character 10", "a whole number"),
        ("created:2h", "'2h' at character 9", "<, <=, > or >="),
        ("created:>2y", "'>2y' at character 9", "2h, 30m or 1d12h"),
        ("created:>2026-02-30", "'>2026-02-30' at character 9", "a moment such as"),
        ("created:>2026-01-01T00:00", "at character 9", "a moment with its zone"),
        ("x" * 5_000, "(5000 characters)", "at most 4,000 characters"),
        ("name:\ud800", "\\ud800", "expected text"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(text: str, place: str, expected: str) -> None:
    """It names the place and what was expected there."""
    with pytest.raises(InvalidOption) as caught:
        Query.parse(text)
    said = str(caught.value)
    assert place.replace(r"\"", '"').replace("\\\\\\\\", "\\\\") in said
    assert expected in said
    assert "\n" not in said


def test_what_a_broker_is_asked_follows_from_a_query() -> None:
    """The states and queues in which its tasks can be; queues are named only outright."""
    query = Query.parse("state:dead,retry -state:retry queue:a,b -queue:b")
    assert query.states() == [State.DEAD]
    assert query.named_queues() == ["a"]
    assert not query.needs_tasks
    starred = Query.parse("queue:a* name:x")
    assert starred.named_queues() is None
    assert starred.has_queue("abc")
    assert not starred.has_queue("b")
    assert starred.needs_tasks


def test_a_query_is_made_of_values_and_of_others() -> None:
    """Values are meant as they stand: no star and no blank in them is special."""
    made = Query.where(state="dead", name=["a b", "c*"]) & Query.parse("tag:vip")
    assert str(made) == 'state:"dead" name:"a b","c*" tag:vip'
    assert Query.parse(str(made)) == made


LITERAL = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
    lambda text: Word(text, is_quoted=True)
)
WORDS = LITERAL | st.from_regex(r"[^\s,\"]{1,8}", fullmatch=True).map(Word)
NAMES = LITERAL | st.from_regex(r"[^\s:.,\"]{1,8}", fullmatch=True).map(Word)
TEXTUAL = ["queue", "name", "id", "tag", "group", "error", "payload", "text"]
SEVERAL = st.lists(WORDS, min_size=1, max_size=3).map(tuple)
QUOTED = st.lists(LITERAL, min_size=1, max_size=3).map(tuple)
TERMS = st.builds(Term, st.sampled_from(TEXTUAL), SEVERAL, is_negated=st.booleans()) | st.builds(
    Term,
    st.just("args"),
    QUOTED,
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    st.booleans(),
)


CHAINED = [
    (State.PENDING, {STEP_HEADER: "1/2", CHAIN_HEADER: "x"}, "open"),
    (State.RETRY, {STEP_HEADER: "2/2"}, "open"),
    (State.ARCHIVED, {CHAIN_HEADER: "x"}, "stopped"),
    (State.DEAD, {STEP_HEADER: "2/2"}, "stopped"),
    (State.COMPLETED, {STEP_HEADER: "1/2", CHAIN_HEADER: "x"}, "passed"),
    (State.COMPLETED, {STEP_HEADER: "2/2"}, "done"),
    (State.DEAD, {STEP_HEADER: "3/2"}, None),
    (State.DEAD, {STEP_HEADER: "one of two"}, None),
    (State.DEAD, {}, None),
]


@pytest.mark.parametrize(("state", "headers", "stands"), CHAINED)
def test_a_step_is_found_by_how_its_chain_stands(
    state: State, headers: dict[str, str], stands: str | None
) -> None:
    """In the states alone in which there can be such a step; a broker is asked for no others."""
    task = Task(a_task(headers=headers), state, created=NOW, due=NOW)
    for each in ("open", "stopped", "passed", "done", "*"):
        query = Query.parse(f"chain:{each}")
        fits = query.predicate(NOW, lambda task: task.spec.payload)(task)
        assert fits == (stands is not None and each in {stands, "*"})
        assert not fits or state in query.states()
    assert Query.parse("chain:stopped").states() == [State.ARCHIVED, State.DEAD]
    assert State.DEAD in Query.parse("-chain:stopped").states()


def test_a_task_is_found_by_what_it_came_from() -> None:
    """A task, a group or a periodic task; by the whole name, and not by what has none."""
    found = {
        following(a_task(id="b"), a_task(id="a*1")): '"a*1"',
        with_origin(a_task(id="c"), Origin(OriginKind.GROUP, "mail", "user 7", 3)): '"user 7"',
        a_task(id="d"): "d",
    }
    for spec, name in found.items():
        task = Task(spec, State.PENDING, created=NOW, due=NOW)
        fits = Query.parse(f"origin:{name}").predicate(NOW, lambda task: task.spec.payload)
        assert fits(task) is (spec.id != "d")
        assert not Query.parse("origin:a").predicate(NOW, lambda _: b"")(task)
    with pytest.raises(InvalidOption, match="the whole id of a task"):
        Query.parse("origin:a*")


@given(st.lists(TERMS, max_size=4).map(lambda terms: Query(tuple(terms))))
def test_every_query_has_a_text_that_parses_to_it(query: Query) -> None:
    """So a page can show the command to copy, and an address can hold the filter."""
    assert Query.parse(str(query)) == query


PIECES = [
    *QUALIFIERS,
    ":",
    ",",
    '"',
    "\\",
    "-",
    " ",
    ".",
    ">",
    "<=",
    "*",
    "2h",
    "dead",
    "7",
    "x",
    "\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_a_query_or_is_refused_in_one_line(text: str) -> None:
    """Nothing else is raised, and what was read is told as it was meant."""
    try:
        query = Query.parse(text)
    except InvalidOption as error:
        assert "\n" not in str(error)  # noqa: PT017  (either way is right)
    else:
        assert Query.parse(str(query)) == query


def test_the_reference_has_a_row_for_every_qualifier() -> None:
    """And none for another."""
    page = Path(__file__).parents[3] / "docs" / "reference" / "queries.md"
    rows = re.findall(r"^\| `(\w+)[:.]", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == list(QUALIFIERS)
