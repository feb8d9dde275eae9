"""Figures as Markdown, for a document."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.peers.catalogue import CATALOGUE
from bench.peers.summary import AUDITED

BEGIN, END = "<!-- bench-peers -->", "<!-- /bench-peers -->"

HUNDRED = 100
"""Milliseconds from which on fractions say nothing."""

WAYS = {
    "blocking": "blocking, one by one",
    "awaited": "awaited, one by one",
    "concurrent": "awaited, 32 at once",
    "bulk": "in bulk",
}


def document(results: Mapping[str, Any]) -> str:
    """Return all that the document shows: what was run, the rates, the costs, the promises."""
    parts = (_preface(results), rates(results), costs(results), promises(results))
    return "\n\n".join(part for part in parts if part)


def put_in(page: str, block: str) -> str:
    """Return a page with another block between its marks. Raises `ValueError` if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def rates(results: Mapping[str, Any]) -> str:
    """Return what is asked for and run in a second, fastest at running first."""
    head = ("tasks a second", *WAYS.values(), "drained")
    rows = [
        (
            CATALOGUE[name].title,
            *(spread(system["figures"].get(f"{way}_per_s")) for way in WAYS),
            f"**{spread(system['figures']['drain_per_s'])}**",
        )
        for name, system in _sorted(results)
    ]
    return table(head, rows)


def costs(results: Mapping[str, Any]) -> str:
    """Return what an idle worker answers in, and what all of it takes."""
    head = (
        "medians",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "idle, commands/s",
        "Redis, µs a task",
        "Redis, bytes a task",
        "worker, MB",
    )
    rows = []
    for name, system in _sorted(results):
        figures = system["figures"]
        latency = figures["latency_ms"]
        rows.append(
            (
                CATALOGUE[name].title,
                *(_ms(latency[percent]["median"]) for percent in ("p50", "p95", "p99")),
                f"{figures['idle_commands_per_s']['median']:,.1f}",
                f"{figures['redis_us_per_task']['median']:,.0f}",
                f"{figures['redis_bytes_per_task']['median']:,.0f}",
                f"{figures['worker_rss_mb']['median']:.0f}",
            )
        )
    return table(head, rows)


def promises(results: Mapping[str, Any]) -> str:
    """Return what each system promises, and how it was set up."""
    head = ("", "version", "a task runs", "it is acknowledged", "set up here", "drained")
    rows = [
        (
            CATALOGUE[name].title,
            system["version"],
            CATALOGUE[name].delivery,
            CATALOGUE[name].acknowledged,
            CATALOGUE[name].setup,
            f"{system['tasks']['drain']:,}{_audited(system)}",
        )
        for name, system in _sorted(results)
    ]
    return table(head, rows, left=5)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table whose first columns are text and whose others are figures."""
    line = [":---" if column < left else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, line, *rows))


def spread(figure: Mapping[str, float] | None) -> str:
    """Return a rate as its median and its range."""
    if figure is None:
        return "–"
    median, least, greatest = (f"{figure[name]:,.0f}" for name in ("median", "min", "max"))
    return median if least == greatest else f"{median} ({least}–{greatest})"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= HUNDRED else f"{milliseconds:.3g}"


def _sorted(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    systems = results["systems"].items()
    return sorted(systems, key=lambda item: -item[1]["figures"]["drain_per_s"]["median"])


def _audited(system: Mapping[str, Any]) -> str:
    """Return what an auditor did not like."""
    return "".join(
        f", **{system['audit'][count]:,} {count}**" for count in AUDITED if system["audit"][count]
    )


def _preface(results: Mapping[str, Any]) -> str:
    machine, rounds = results["machine"], results["rounds"]
    range_of = f"median and range of {rounds} rounds" if rounds > 1 else "one round"
    text = (
        f"Measured on {machine['day']}: {machine['processors']} processors, Redis "
        f"{machine['redis']} without persistence, Python {machine['python']}, load average "
        f"{machine['load_before']} before; {range_of} after a warm-up."
    )
    if drain := results["ratios"]["drain_over_fastest_peer"]:
        blocking = results["ratios"]["blocking_enqueue_over_fastest_peer"]
        text += (
            f" In one and the same round qcore drained {_times(drain)}, and enqueued, blocking and "
            f"one by one, {_times(blocking)}."
        )
    if results["failed"]:
        text += f" Left out, because they failed: {', '.join(results['failed'])}."
    return text


def _times(ratio: Mapping[str, Any]) -> str:
    peer = CATALOGUE[ratio["peer"]].title
    return f"**{ratio['median']:.2g} times** as many tasks as the fastest peer ({peer})"
