from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from qcore import Context, InvalidOption, InvalidTask, NewTask
from qcore.app.calls.options import OPTIONS, Changes, Options
from qcore.backoff import exponential, fixed, linear
from qcore.domain.backoff import Quartic
from qcore.domain.new_task import FIELDS
from qcore.testing import a_task
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored

AT = datetime.fromtimestamp(NOW + 60, UTC)


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def spec_with(lab: Lab, **options: Any) -> NewTask:
    """Return what is stored of a task with options."""

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    return (await stored(await mail.using(**options).enqueue())).spec


async def test_the_defaults_are_those_of_the_design(lab: Lab) -> None:
    """Who says nothing gets 25 retries, 30 minutes, priority 0 and no retention, at once."""
    spec = await spec_with(lab)
    assert (spec.queue, spec.max_retry, spec.max_crashes) == ("default", 25, 3)
    assert (spec.timeout, spec.deadline, spec.due, spec.expires) == (1800, None, None, None)
    assert (spec.priority, spec.retention, dict(spec.headers)) == (0, 0, {})
    assert spec.backoff is None


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"queue": "critical"}, "queue", "critical"),
        ({"max_retry": 0}, "max_retry", 0),
        ({"max_crashes": 1}, "max_crashes", 1),
        ({"timeout": 2.5}, "timeout", 2.5),
        ({"timeout": timedelta(minutes=1)}, "timeout", 60),
        ({"timeout": None}, "timeout", None),
        ({"deadline": AT}, "deadline", NOW + 60),
        ({"deadline": AT}, "timeout", None),
        ({"deadline": AT, "timeout": 3}, "timeout", 3),
        ({"deadline": NOW + 60}, "deadline", NOW + 60),
        ({"delay": 5}, "due", NOW + 5),
        ({"delay": 0.001}, "due", NOW + 0.001),
        ({"delay": timedelta(days=2)}, "due", NOW + 172_800),
        ({"at": AT}, "due", NOW + 60),
        ({"at": AT.astimezone(timezone(timedelta(hours=5, minutes=45)))}, "due", NOW + 60),
        ({"at": NOW - 60}, "due", NOW - 60),
        ({"expires": AT}, "expires", NOW + 60),
        ({"expires": timedelta(seconds=60)}, "expires", NOW + 60),
        ({"expires": 60}, "expires", NOW + 60),
        ({"priority": -7}, "priority", -7),
        ({"task_id": "one"}, "id", "one"),
        ({"retention": timedelta(hours=1)}, "retention", 3600),
        ({"headers": {"traceparent": "00-ä"}}, "headers", {"traceparent": "00-ä"}),
        ({"tags": {"vip", "eu"}}, "tags", ("eu", "vip")),
        ({"tags": ["b", "a", "b"]}, "tags", ("a", "b")),
        ({"tags": ()}, "tags", ()),
        ({"backoff": fixed(3)}, "backoff", "fixed:3.0"),
        ({"backoff": linear(timedelta(seconds=2), cap=9)}, "backoff", "linear:2.0:9.0"),
        ({"backoff": exponential(1, cap=60)}, "backoff", "exponential:1.0:60.0:1"),
        ({"backoff": Quartic()}, "backoff", "quartic"),
    ],
)
async def test_an_option_reaches_the_store(
    lab: Lab, options: dict[str, Any], field: str, value: object
) -> None:
    """Each option is what the stored task has, in seconds and moments."""
    assert getattr(await spec_with(lab, **options), field) == value


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"queue": "a{b}"}, "a{b}"),
    ({"queue": ""}, "''"),
    ({"queue": "a b"}, "'a b'"),
    ({"queue": "a\n"}, r"'a\\n'"),
    ({"queue": "q" * 129}, "129 characters"),
    ({"queue": 7}, "7"),
    ({"delay": -1}, "-1"),
    ({"delay": timedelta(seconds=-1)}, "-1"),
    ({"delay": float("nan")}, "nan"),
    ({"delay": float("inf")}, "inf"),
    ({"delay": "5"}, "'5'"),
    ({"delay": True}, "True"),
    ({"at": datetime(2027, 1, 1)}, "naive datetime 2027-01-01"),  # noqa: DTZ001
    ({"deadline": datetime(2027, 1, 1)}, "naive datetime 2027-01-01"),  # noqa: DTZ001
    ({"expires": datetime(2027, 1, 1)}, "naive datetime 2027-01-01"),  # noqa: DTZ001
    ({"at": AT, "delay": 1}, "both delay and at"),
    ({"at": AT, "expires": 5}, "expires"),
    ({"timeout": 0}, "0"),
    ({"timeout": -3}, "-3"),
    ({"retention": -1}, "-1"),
    ({"priority": 1001}, "1001"),
    ({"priority": 1.5}, r"1\.5"),
    ({"max_retry": -1}, "-1"),
    ({"max_crashes": 0}, "0"),
    ({"task_id": ""}, "''"),
    ({"task_id": "a b"}, "'a b'"),
    ({"task_id": "x" * 257}, "257 characters"),
    ({"headers": {"a": 1}}, "1"),
    ({"headers": {"a": "\ud800"}}, "ud800"),
    ({"backoff": max}, "function max"),
    ({"tags": "eu"}, r"tags is 'eu': expected a collection of strings, such as \['eu'\]"),
    ({"tags": b"eu"}, "tags is b'eu': expected a collection of strings"),
    ({"tags": {"eu": 1}}, "tags is {'eu': 1}: expected a collection of strings"),
    ({"tags": iter(["eu"])}, "tags is <list_iterator .*: expected a collection of strings"),
    ({"tags": None}, "tags is None: expected a collection of strings"),
    ({"tags": ["eu", 7]}, "one of tags is 7: expected text"),
    ({"tags": ["eu", [1]]}, r"one of tags is \[1\]: expected text"),
    ({"tags": [""]}, "one of tags is '': expected 1 to 64 printable characters"),
    ({"tags": ["x" * 65]}, "one of tags is .*: expected 1 to 64 printable characters"),
    ({"tags": ["eu, vip"]}, "one of tags is 'eu, vip': expected no ' ' in it"),
    ({"tags": ["eu,vip"]}, "one of tags is 'eu,vip': expected no ',' in it"),
    ({"tags": [f"t{n}" for n in range(11)]}, "tags is .*: expected at most 10, not 11"),
    ({"prio": 3}, "'prio'.*priority"),
]


@pytest.mark.parametrize(("options", "named"), WRONG)
async def test_an_option_that_is_wrong_is_refused_at_enqueue(
    lab: Lab, options: dict[str, Any], named: str
) -> None:
    """The error names the value, and nothing is written."""
    with pytest.raises(InvalidTask, match=named):
        await spec_with(lab, **options)
    assert await lab.inspector.counts() == {}


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "n" * 257])
def test_a_task_with_a_bad_name_cannot_be(name: str) -> None:
    """A blank, over-long or unprintable name is refused before anybody could send it."""
    with pytest.raises(InvalidTask, match="name"):
        a_task(name=name)


@pytest.mark.parametrize("name", ["  ", "a\x00b", "n" * 257])
def test_a_handler_with_a_bad_name_is_refused(lab: Lab, name: str) -> None:
    """What no enqueue could ever accept is refused where it is declared."""

    async def mail(ctx: Context) -> None: ...

    with pytest.raises((InvalidTask, InvalidOption), match="name"):
        lab.task(name)(mail)


def test_a_handler_with_a_bad_option_is_refused(lab: Lab) -> None:
    """Defaults that every enqueue would refuse are refused where they are declared."""

    async def mail(ctx: Context) -> None: ...

    with pytest.raises(InvalidTask, match=r"\{x\}"):
        lab.task("mail", queue="{x}")(mail)


async def test_later_options_win(lab: Lab) -> None:
    """A handler's options are defaults; `using` overrides them, and the last `using` the first."""

    @lab.task("mail", queue="a", priority=1, timeout=7)
    async def mail(ctx: Context) -> None: ...

    prepared = mail.using(queue="b", priority=2).using(priority=3)
    spec = (await stored(await prepared.enqueue())).spec
    assert (spec.queue, spec.priority, spec.timeout) == ("b", 3, 7)
    plain = (await stored(await mail.enqueue())).spec
    assert (plain.queue, plain.priority, plain.timeout) == ("a", 1, 7)


async def test_a_prepared_task_counts_from_its_enqueue(lab: Lab) -> None:
    """`using` is a value: its delay begins when it is enqueued, each time anew."""

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    soon = mail.using(delay=5)
    lab.manual.advance(100)
    assert (await stored(await soon.enqueue())).due == NOW + 105
    lab.manual.advance(1)
    assert (await stored(await soon.enqueue())).due == NOW + 106


async def test_an_at_overrides_a_default_delay(lab: Lab) -> None:
    """A handler's default delay is no obstacle to one call's `at`."""

    @lab.task("mail", delay=5)
    async def mail(ctx: Context) -> None: ...

    assert (await stored(await mail.using(at=AT).enqueue())).due == NOW + 60


def test_every_field_of_a_task_has_an_option() -> None:
    """Each field but those that its handler gives it; and type checkers see each option."""
    given_by_the_handler = {"name", "payload", "content_type"}
    assert {field for field, _ in OPTIONS.values()} == FIELDS.keys() - given_by_the_handler
    assert Options.__annotations__.keys() == OPTIONS.keys()


def test_every_option_whose_field_may_be_changed_is_one_of_changes() -> None:
    """And no other."""
    changeable = {name for name, (field, _) in OPTIONS.items() if FIELDS[field].is_changeable}
    assert Changes.__annotations__.keys() == changeable


async def test_a_handler_sees_the_tags_of_its_task(lab: Lab) -> None:
    """Those of its declaration, or those that were asked for in their place."""
    seen: list[tuple[str, ...]] = []

    @lab.task("mail", tags=["eu"])
    async def mail(ctx: Context) -> None:
        seen.append(ctx.tags)

    await mail.enqueue()
    await mail.using(tags={"vip", "us"}).enqueue()
    await lab.run_due()
    assert seen == [("eu",), ("us", "vip")]
