"""What has ended in queues: read the statistics that transitions add to."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from qcore.adapters.links.redis import ScriptCall
from qcore.adapters.redis.script_runner import ScriptRunner, chunks
from qcore.adapters.redis.scripts import STATISTICS
from qcore.domain.histogram import add
from qcore.domain.moments import Moment
from qcore.domain.statistics import OTHER, Resolution, StatisticsRow, statistics_of

MAX_PERIODS_PER_CALL: Final = 100
"""Hashes that one call reads: a busy one has a hundred fields."""
MAX_KNOWN_FIELDS: Final = 10_000
"""Fields whose meaning is remembered: the same ones come again in each period of a queue."""

_FIELD: Final = re.compile(rb"[A-Z]|[wr]\d{1,2}")
_KEY: Final = re.compile(
    rb"(?P<number>\d{0,3})(?P<fields>(?:%b)+)(?: (?P<name>.*))?" % _FIELD.pattern, re.DOTALL
)


async def statistics(
    runner: ScriptRunner,
    queues: Sequence[str] | None,
    since: Moment,
    until: Moment,
    resolution: Resolution,
) -> list[StatisticsRow]:
    """Return what ended in queues between two moments, by queue, period and name."""
    starts = resolution.starts(since, until)
    calls: list[ScriptCall] = []
    asked: list[tuple[Sequence[str], int]] = []
    known = await runner.registered_queues() if queues is None else queues
    for group in runner.queue_batches(known):
        keys = [key for queue in group for key in runner.keys.of_periods(queue, resolution, starts)]
        calls += [ScriptCall(part, ()) for part in chunks(keys, MAX_PERIODS_PER_CALL)]
        asked += [(group, first) for first in range(0, len(keys), MAX_PERIODS_PER_CALL)]
    replies = await runner.link.run(STATISTICS, calls)
    rows: list[StatisticsRow] = []
    for (those, first), reply in zip(asked, replies, strict=True):
        for at, stored in zip(reply[::2], reply[1::2], strict=True):
            queue, period = divmod(first + int(at), len(starts))
            rows += [
                StatisticsRow(those[queue], name, starts[period], statistics_of(counts))
                for name, counts in sorted(_rows(stored).items())
            ]
    return rows


def _rows(stored: Sequence[bytes]) -> dict[str, dict[str, int]]:
    """Return name to field to number; what somebody has edited into something else is left out.

    A store that an unreleased qcore has written to may have numbers in front of fields in place of
    names behind them.
    """
    found = dict(zip(stored[::2], stored[1::2], strict=True))
    names = {number: key[1:] for key, number in found.items() if key[:1] == b"#"}
    rows: dict[str, dict[str, int]] = {}
    for key, value in found.items():
        if (read := _read(key)) and value.isdigit():
            number, name, fields = read
            if number:
                name = names.get(number)
            row = rows.setdefault(OTHER if name is None else name.decode(errors="replace"), {})
            add(row, dict.fromkeys(fields, int(value)))
    return rows


@lru_cache(MAX_KNOWN_FIELDS)
def _read(key: bytes) -> tuple[bytes, bytes | None, Sequence[str]] | None:
    """Return the number of a name, the name, and the fields that are written as one."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    fields = [each.decode() for each in _FIELD.findall(found["fields"])]
    return found["number"], found["name"], fields
