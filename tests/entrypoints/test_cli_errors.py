import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import unstyle

from qcore import Context, Qcore, SkipRetry
from qcore.testing import drain
from tests.entrypoints.cli_kit import (
    cells_of,
    document_of,
    invoke,
    sit_at_a_terminal,
    working_in,
)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder with a store in which tasks have failed, two for the same reason."""
    with working_in(tmp_path, monkeypatch):
        q = Qcore(instruments=[])

        @q.task("mail")
        def mail(ctx: Context, to: int) -> None:
            raise SkipRetry(f"no mailbox {to}" if to else "no address")

        async def fail() -> None:
            async with q:
                for to in (0, 7, 12):
                    await mail.enqueue(to)
                await drain(q, jump=False)

        asyncio.run(fail())
        yield


def test_errors_are_grouped_by_what_they_have_in_common() -> None:
    """The largest group first."""
    rows = cells_of("errors")
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("2", "mail", "no mailbox #"),
        ("1", "mail", "no address"),
    ]


def test_a_group_is_a_query_for_its_tasks() -> None:
    """Which the other commands take."""
    group = document_of("errors")["groups"][0]
    assert (group["count"], len(group["examples"])) == (2, 2)
    result = invoke("tasks", "run", group["query"], "--yes")
    assert result.stdout == "run: 2 tasks done, 0 skipped, 0 failed\n"


def test_what_was_not_looked_at_is_told() -> None:
    """In JSON, and on standard error."""
    assert "1 failed tasks were looked at" in invoke("errors", "--look", "1").stderr
    document = document_of("errors", "--look", "1")
    assert (document["looked"], document["complete"]) == (1, False)


def test_no_error_is_an_empty_list() -> None:
    """A query may select none."""
    assert document_of("errors", "queue:other") == {"groups": [], "looked": 0, "complete": True}
    assert cells_of("errors", "queue:other") == []


def test_errors_are_a_table_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ages in place of moments."""
    sit_at_a_terminal(monkeypatch)
    titles, first, _ = map(unstyle, invoke("errors").stdout.splitlines())
    assert titles.split()[:4] == ["TASKS", "FIRST", "LAST", "NAME"]
    assert " ago" in first
    assert "VERSIONS" not in titles


def test_a_group_has_the_versions_of_the_application_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first and the last in the last column, a hyphen where none is known, a list in JSON."""
    q = Qcore(instruments=[])

    @q.task("mail")
    def mail(ctx: Context, to: int) -> None:
        raise SkipRetry(f"no mailbox {to}")

    async def fail() -> None:
        async with q:
            for version in ("1.4", "1.5"):
                await mail.enqueue(7)
                await q.worker(burst=True, app_version=version).run()

    asyncio.run(fail())
    rows = cells_of("errors")
    assert [row[-1] for row in rows] == ["1.5", "-"]
    assert document_of("errors")["groups"][0]["versions"] == ["1.5"]
    sit_at_a_terminal(monkeypatch)
    assert "VERSIONS" in unstyle(invoke("errors").stdout.splitlines()[0])
