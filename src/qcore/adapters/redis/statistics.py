"""What has ended in queues: read the statistics that transitions add to."""

import re
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.redis import ScriptCall
from qcore.adapters.redis.script_runner import MAX_QUEUES_PER_CALL, ScriptRunner, chunks
from qcore.adapters.redis.scripts import STATISTICS
from qcore.domain.histogram import add
from qcore.domain.moments import Moment
from qcore.domain.statistics import OTHER, Resolution, StatisticsRow, statistics_of

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
    starts = [*resolution.starts(since, until)]
    asked = [
        (queue, chunk)
        for queue in dict.fromkeys(await runner.registered_queues() if queues is None else queues)
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


def _rows(stored: Sequence[bytes]) -> dict[str, dict[str, int]]:
    """Return name to field to number; what somebody has edited into something else is left out.

    A store that an unreleased qcore has written to may have numbers in front of fields in place of
    names behind them.
    """
    found = dict(zip(stored[::2], stored[1::2], strict=True))
    names = {number: key[1:] for key, number in found.items() if key[:1] == b"#"}
    rows: dict[str, dict[str, int]] = {}
    for key, value in found.items():
        if (read := _KEY.fullmatch(key)) and value.isdigit():
            name = names.get(read["number"]) if read["number"] else read["name"]
            row = rows.setdefault(OTHER if name is None else name.decode(errors="replace"), {})
            add(row, {each.decode(): int(value) for each in _FIELD.findall(read["fields"])})
    return rows
