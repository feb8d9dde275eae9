"""Workers: what each runs and how it is, in words; of what the visitor may see."""

from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from qcore import Qcore
from qcore.dashboard import dashboard
from qcore.domain.workers import RunningTask
from qcore.testing.builders import NOW
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, text_of
from tests.entrypoints.dashboard.test_overview import with_a_worker


async def with_workers(*workers: dict[str, Any]) -> Qcore:
    """Return a store with some workers."""
    q = a_queue()
    for each in workers:
        await with_a_worker(q, **each)
    return q


async def test_without_a_worker_the_page_says_how_to_start_one() -> None:
    """Tasks wait until one is there."""
    text = text_of(await browser(dashboard(a_queue())).page("workers"))
    assert "No worker is there" in text
    assert "qcore worker myapp.tasks:q" in text


async def test_a_worker_shows_what_runs_since_when() -> None:
    """In each of its slots, with a link to the task."""
    runs = (RunningTask("mail", "id-1", "email:welcome", NOW - 65),)
    q = await with_workers(
        {"queues": {"mail": 3}, "running": runs, "in_hand": 1, "concurrency": 8, "pid": 4711}
    )
    html = await browser(dashboard(q)).page("workers")
    text = text_of(html)
    assert "1 of 8 slots" in text
    assert "4711" in text
    assert "×3" in text
    [run] = html.css(".runs li")
    assert run.css("a")[0].attributes["href"] == "task?queue=mail&id=id-1"
    assert "1 min 5 s ago" in run.text()


def name_of(worker: Any) -> str:
    """Return the name in a worker's heading."""
    return str(worker.css("h2")[0].text()).strip()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seen": NOW - 9, "expires": NOW + 6}, "It has not been heard of for 9 s"),
        ({"loop_lag": 7.0}, "It hangs: its event loop has been blocked for 7 s"),
        ({"is_paused": True}, "It is paused"),
        ({"is_stopping": True}, "It stops"),
    ],
)
async def test_how_a_worker_is_stands_in_words(fields: dict[str, Any], words: str) -> None:
    """And those that are not well come first, however they are called."""
    q = await with_workers({"name": "a"}, {"name": "z", **fields})
    html = await browser(dashboard(q)).page("workers")
    assert [name_of(each) for each in html.css("article")] == ["z", "a"]
    assert words in text_of(html)


async def test_of_a_worker_no_more_is_seen_than_of_its_queues() -> None:
    """Tasks and queues of others, and handlers that may be theirs, are left out."""
    runs = (
        RunningTask("mine", "1", "my:task", NOW),
        RunningTask("theirs", "2", "their:task", NOW),
    )
    q = await with_workers(
        {
            "queues": {"mine": 1, "theirs": 1},
            "running": runs,
            "in_hand": 2,
            "handlers": ("their:x",),
        },
        {"queues": {"theirs": 1}, "name": "unseen"},
    )
    html = await browser(as_role(q, {"*.read@mine"})).page("workers")
    assert "their" not in str(html.html)
    assert "unseen" not in str(html.html)
    assert "1 of 100 slots" in text_of(html)
    assert html.css("h1 .count")[0].text() == "1"


async def found(html: LexborHTMLParser) -> list[str]:
    """Return the names of the workers on a page."""
    return [name_of(each) for each in html.css("article")]


@pytest.mark.parametrize("given", ["eu-1", "mail", "host-eu"])
async def test_a_worker_is_found_by_name_host_or_queue(given: str) -> None:
    """A part of it is enough."""
    q = await with_workers(
        {"name": "eu-1", "host": "host-eu", "queues": {"mail": 1}},
        {"name": "us-1", "host": "host-us", "queues": {"sms": 1}},
    )
    assert await found(await browser(dashboard(q)).page("workers", name=given)) == ["eu-1"]


async def test_of_many_workers_some_are_shown_and_the_number_of_the_others() -> None:
    """Those that hang before the others."""
    q = await with_workers(*({"name": f"w{number}"} for number in range(5)), {"loop_lag": 9.0})
    html = await browser(dashboard(q)).page("workers", limit=2)
    assert len(html.css("article")) == 2
    assert "4 more" in text_of(html)
    assert "It hangs" in text_of(html)
