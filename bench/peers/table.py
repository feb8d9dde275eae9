"""Figures as Markdown, for a document."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.peers.catalogue import CATALOGUE, STORES
from bench.peers.summary import AUDITED

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


def marks(store: str) -> tuple[str, str]:
    """Return what stands before and behind the figures of a store in a page."""
    return f"<!-- bench-peers {store} -->", f"<!-- /bench-peers {store} -->"


def put_in(page: str, block: str, store: str) -> str:
    """Return a page with another block between its marks. Raises `ValueError` if it has none."""
    begin, end = marks(store)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


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
    store = results["store"]["name"]
    head = (
        "medians",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "idle, commands/s",
        f"{STORES[store]}, µs a task",
        f"{STORES[store]}, bytes a task",
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
                _idle(figures.get("idle_requests_per_s")),
                f"{figures['store_us_per_task']['median']:,.0f}",
                f"{figures['store_bytes_per_task']['median']:,.0f}",
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


def _idle(figure: Mapping[str, float] | None) -> str:
    return "–" if figure is None else f"{figure['median']:,.1f}"


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
        f"Measured on {machine['day']}: {machine['processors']} processors, "
        f"{results['store']['version']}, Python {machine['python']}, load average "
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
