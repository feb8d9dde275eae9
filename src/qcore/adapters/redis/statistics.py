"""What has ended in queues: read the statistics that transitions add to."""

import re
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.redis import ScriptCall
from qcore.adapters.redis.keys import queue_name
from qcore.adapters.redis.script_runner import MAX_QUEUES_PER_CALL, ScriptRunner, chunks
from qcore.adapters.redis.scripts import STATISTICS
from qcore.domain.histogram import add
from qcore.domain.moments import Moment
from qcore.domain.statistics import OTHER, Resolution, StatisticsRow, statistics_of

_FIELD: Final = re.compile(rb"(\d{1,3})([A-Z]|[wr]\d{1,2})")


async def statistics(
    runner: ScriptRunner,
    queues: Sequence[str] | None,
    since: Moment,
    until: Moment,
    resolution: Resolution,
) -> list[StatisticsRow]:
    """Return what ended in queues between two moments, by queue, period and name."""
    starts = [*resolution.starts(since, until)]
    asked = [
        (queue, chunk)
        for queue in dict.fromkeys(await _all(runner) if queues is None else queues)
        for chunk in chunks(starts, MAX_QUEUES_PER_CALL)
    ]
    calls = [
        ScriptCall([runner.keys.period(queue, resolution, start) for start in chunk], ())
        for queue, chunk in asked
    ]
    replies = await runner.link.run(STATISTICS, calls)
    return [
        StatisticsRow(queue, name, start, statistics_of(counts))
        for (queue, chunk), reply in zip(asked, replies, strict=True)
        for start, stored in zip(chunk, reply, strict=True)
        for name, counts in sorted(_rows(stored).items())
    ]


async def _all(runner: ScriptRunner) -> list[str]:
    known = await runner.link.command("SMEMBERS", runner.keys.registry)
    return sorted(name for name in map(queue_name, known) if name is not None)


def _rows(stored: Sequence[bytes]) -> dict[str, dict[str, int]]:
    """Return name to field to number; what somebody has edited into something else is left out."""
    names: dict[bytes, str] = {}
    counts: dict[bytes, dict[str, int]] = {}
    for key, value in zip(stored[::2], stored[1::2], strict=True):
        if key[:1] == b"#":
            names[value] = key[1:].decode(errors="replace")
        elif (field := _FIELD.fullmatch(key)) and value.isdigit():
            counts.setdefault(field[1], {})[field[2].decode()] = int(value)
    rows: dict[str, dict[str, int]] = {}
    for number, fields in counts.items():
        add(rows.setdefault(names.get(number, OTHER), {}), fields)
    return rows
