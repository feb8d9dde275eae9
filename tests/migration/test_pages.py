"""On each page of docs/migrate, the program before the move and the one after it say the same."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.running import Story
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

PAGES = Path(__file__).parents[2] / "docs" / "migrate"
OLD_QUEUES = Path(sys.prefix) / "migration"
SHOWN = re.compile(r"^\$ python (before|after)/shop\.py (.*)\n((?:(?!\$ |```).+\n)+)", re.MULTILINE)

KEYS = {
    "arq": r"arq:.*",
    "asynq": "nothing",  # its program is in Go, and only shown
    "celery": r"celery-task-meta-.*|_kombu\..*|unacked.*|celery",
    "dramatiq": r"dramatiq:.*|[0-9a-f]{32}",
    "huey": r"huey\..*",
    "rq": r"rq:.*",
    "saq": r"saq:.*",
    "taskiq": "nothing",  # its broker is in memory
}
"""The keys of an old queue in Redis, as its page says."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Give a server of the newest version."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


def program(folder: Path, which: str, arguments: str, url: str) -> subprocess.Popen[str]:
    """Start a program of a page."""
    paths = [str(OLD_QUEUES), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, f"{which}/shop.py", *arguments.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "REDIS_URL": url, "QCORE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(page: Path, folder: Path) -> None:
    """Write the programs of a page to a folder."""
    for block in Story.read(page):
        title = block.region.lexemes["title"]
        if title is not None:
            file = folder / title
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.parsed)


@pytest.mark.system
@pytest.mark.parametrize("name", sorted(KEYS))
def test_both_programs_say_what_the_page_shows(
    name: str, tmp_path: Path, redis: RedisServer
) -> None:
    """At the same time, on one server, with the same orders; neither uses keys of the other."""
    page = PAGES / f"{name}.md"
    written(page, tmp_path)
    redis.flush()
    shown = {which: (orders, said) for which, orders, said in SHOWN.findall(page.read_text())}
    orders, expected = shown["after"]
    assert all(each == (orders, expected) for each in shown.values())
    assert len(shown) == (1 if name == "asynq" else 2)

    running = [program(tmp_path, which, orders, redis.url) for which in shown]
    ended = [each.communicate(timeout=60) for each in running]
    assert {said for said, _ in ended} == {expected}, [errors for _, errors in ended]

    with redis.client() as client:
        keys = [key.decode() for key in client.scan_iter()]
    ours = [key for key in keys if key.startswith("qcore:")]
    assert ours
    assert [key for key in keys if key not in ours and not re.fullmatch(KEYS[name], key)] == []
