"""Failures by cause: errors that differ in numbers, ids and values only are one group."""

import pytest

from qcore import Context, InvalidOption, SkipRetry, State
from qcore.app.client.failure_groups import shares
from qcore.domain.fingerprints import common_part
from qcore.testing import a_task
from tests.app.kit import Lab


@pytest.mark.parametrize(
    ("error", "common"),
    [
        ("timed out after 30.5 s", "timed out after # s"),
        ("no user 'ann' in \"eu\"", "no user '…' in \"…\""),
        ("order 550e8400-e29b-41d4-a716-446655440000 is gone", "order <id> is gone"),
        ("<Task object at 0x7f3a5c>", "<Task object at <id>>"),
        ("id 01J9ZQ3W8K5T7V2X4Y6B8C0D1E", "id <id>"),
        ("commit deadbeef42", "commit <id>"),
        ("HTTPConnectionPool(host='a', port=80)", "HTTPConnectionPool(host='…', port=#)"),
        ("ann@example.com bounced", "<id> bounced"),
        ("it can't be, won't it", "it can't be, won't it"),
        ("two\n  lines", "two lines"),
        ("2026-11-30T08:00:00Z", "#-#-#T#Z"),
        ("", ""),
    ],
)
def test_what_differs_from_task_to_task_is_left_out(error: str, common: str) -> None:
    """Numbers, ids, addresses and what stands in quotes; words stay."""
    assert common_part(error) == common


@pytest.mark.parametrize("piece", ["'", '"', "a", "9", "a@", "a9_", "-", ".9", "`a"])
def test_a_long_error_is_cut_before_it_is_read(piece: str) -> None:
    """Whatever it is made of, the message is short."""
    assert len(common_part(piece * 100_000)) <= 300


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory with three causes of failure."""
    lab = Lab()

    @lab.task("mail", max_retry=0)
    async def mail(_: Context, number: int) -> None:
        raise ConnectionError(f"timed out after {number} s")

    @lab.task("sms", max_retry=1)
    async def sms(_: Context, number: int) -> None:
        raise ConnectionError(f"timed out after {number} s")

    @lab.task("bill")
    async def bill(_: Context, number: int) -> None:
        raise SkipRetry(f"no account '{number}'")

    return lab


async def fail(lab: Lab, name: str, times: int, pause: float = 0) -> None:
    """Have tasks of a name fail, one after the other."""
    handlers = {handler.name: handler for handler in lab.handlers()}
    for number in range(times):
        await handlers[name].enqueue(number)
        await lab.run_due()
        lab.manual.advance(pause)


async def test_a_group_has_the_versions_of_its_first_and_its_last_failure(lab: Lab) -> None:
    """So that one sees since which release it fails, and whether the newest still does."""
    handlers = {handler.name: handler for handler in lab.handlers()}
    for version in (None, "1.2", "1.3", "1.4"):
        for name in ("mail", "sms") if version != "1.4" else ("mail",):
            if version is not None or name == "sms":
                await handlers[name].enqueue(1)
        await lab.worker(burst=True, app_version=version).run()
        lab.manual.advance(1)
    groups = {group.name: group for group in (await lab.inspector.failures()).groups}
    mail, sms = groups["mail"], groups["sms"]
    assert (mail.first_version, mail.last_version, mail.versions) == ("1.2", "1.4", ["1.2", "1.4"])
    assert (sms.first_version, sms.last_version, sms.versions) == (None, "1.3", ["1.3"])


async def test_failures_are_grouped_by_name_and_what_errors_have_in_common(lab: Lab) -> None:
    """The largest group first, with the moments of the first and the last, and examples."""
    start = lab.clock.now()
    await fail(lab, "mail", 5, pause=10)
    await fail(lab, "bill", 2)
    await fail(lab, "sms", 1)
    report = await lab.inspector.failures()
    assert [(group.name, group.count) for group in report.groups] == [
        ("mail", 5),
        ("bill", 2),
        ("sms", 1),
    ]
    mail, bill, sms = report.groups
    assert "timed out after # s" in mail.message
    assert "no account '…'" in bill.message
    assert (mail.first, mail.last) == (start, start + 40)
    assert [task.finished for task in mail.examples] == [start + 40, start + 30, start + 20]
    # one that will be retried has failed when its details say so, not when it is due
    assert (sms.first, sms.last) == (start + 50, start + 50)
    assert sms.examples[0].state is State.RETRY
    assert (report.looked, report.is_complete) == (8, True)


async def test_a_group_has_a_trend(lab: Lab) -> None:
    """A number for each of the last 24 hours; what failed earlier is in none of them."""
    await fail(lab, "mail", 2)
    lab.manual.advance(23 * 3600.0)
    await fail(lab, "mail", 1)
    lab.manual.advance(3599.0)
    await fail(lab, "mail", 3)
    [group] = (await lab.inspector.failures()).groups
    assert group.trend == (2, *[0] * 22, 4)
    lab.manual.advance(3600.0)
    [group] = (await lab.inspector.failures()).groups
    assert (group.count, group.trend) == (6, (*[0] * 22, 4, 0))


async def test_a_group_is_a_query(lab: Lab) -> None:
    """Its tasks can be listed, run again and deleted, and those of no other group."""
    await fail(lab, "mail", 3)
    await fail(lab, "bill", 2)
    [mail, bill] = (await lab.inspector.failures()).groups
    assert len((await lab.inspector.tasks(mail.query)).tasks) == 3
    assert {task.name for task in (await lab.inspector.tasks(str(bill.query))).tasks} == {"bill"}
    with pytest.raises(InvalidOption, match="twelve digits"):
        await lab.inspector.tasks("fingerprint:7")


async def test_a_query_says_which_failures(lab: Lab) -> None:
    """By name, age or whatever a query can ask."""
    await fail(lab, "mail", 3)
    await fail(lab, "bill", 2)
    report = await lab.inspector.failures("-name:mail state:dead")
    assert [group.name for group in report.groups] == ["bill"]


async def test_no_more_tasks_are_looked_at_than_are_told(lab: Lab) -> None:
    """The report says how many those were, and that it is not of all."""
    await fail(lab, "mail", 6)
    await fail(lab, "bill", 2)
    report = await lab.inspector.failures(look=4)
    assert {group.name: group.count for group in report.groups} == {"mail": 2, "bill": 2}
    assert (report.looked, report.is_complete) == (4, False)
    report = await lab.inspector.failures(limit=1)
    assert len(report.groups) == 1
    assert not report.is_complete


def test_queues_and_states_have_equal_shares_of_what_is_looked_at() -> None:
    """A small one leaves its rest to the others; a queue of a million hides no other."""
    sizes = {("a", State.DEAD): 1_000_000, ("b", State.DEAD): 3, ("b", State.RETRY): 50}
    assert shares(sizes, 100) == {
        ("a", State.DEAD): 49,
        ("b", State.DEAD): 3,
        ("b", State.RETRY): 48,
    }
    assert sum(shares(sizes, 2).values()) == 2
    assert shares(sizes, 1_000_053) == sizes
    assert shares({}, 10) == {}


async def test_tasks_without_a_handlers_error_are_grouped_by_their_reason(lab: Lab) -> None:
    """Cancelled and expired ones are dead, too."""
    await lab.client.enqueue_many([a_task(id=f"{i}") for i in range(3)])
    await lab.inspector.cancel("default", ["0", "1", "2"])
    [group] = (await lab.inspector.failures()).groups
    assert (group.message, group.count) == ("cancelled", 3)
