import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.peers.catalogue import CATALOGUE, STORES, is_ours
from bench.peers.chart import LEFT, WIDTH, chart
from bench.peers.summary import is_clean, summarised
from bench.peers.table import costs, document, marks, promises, put_in, rates

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text(encoding="utf-8")
PICTURE = (ROOT / "docs" / "explanation" / "benchmarks.svg").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def a_run(drain: int = 1_000, *, lost: int = 0, p50: float = 1.0, **rates: int) -> dict[str, Any]:
    """Return the figures of a run, with `rates` of the ways in which tasks are asked for."""
    return {
        **{f"{way}_per_s": rate for way, rate in rates.items()},
        "drain_per_s": drain,
        "latency_ms": {"p50": p50, "p95": 2.0, "p99": 123.4},
        "worker_rss_mb": 40.0,
        "store_us_per_task": 11.0,
        "store_bytes_per_task": 280,
        "idle_requests_per_s": 0.5,
        "lost": lost,
        "duplicated": 0,
    }


def results(
    systems: Mapping[str, list[dict[str, Any]]], failed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what a contest of these runs prints."""
    return summarised(
        {
            "store": {"name": "redis", "version": "Redis 7.0.15 without persistence"},
            "machine": {
                "day": "2026-11-22",
                "python": "3.11.7",
                "processors": 2,
                "load_before": 0.1,
            },
            "rounds": max(map(len, systems.values())),
            "systems": {
                name: {"version": "1.2.3", "tasks": {"drain": 5_000}, "runs": runs}
                for name, runs in systems.items()
            },
            "failed": failed or {},
        }
    )


TWO_PEERS = {
    "qcore": [
        a_run(40_000, blocking=8_000, awaited=4_000),
        a_run(20_000, blocking=4_000, awaited=2_000),
        a_run(36_000, blocking=9_000, awaited=4_500),
    ],
    "huey": [
        a_run(2_000, blocking=8_000),
        a_run(4_000, blocking=2_000),
        a_run(2_000, blocking=900),
    ],
    "saq": [a_run(3_000, awaited=5_000), a_run(3_000, awaited=4_000), a_run(3_000, awaited=4_500)],
}


def cells(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table, the head and the line under it first."""
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]


def test_a_rate_is_told_as_its_median_and_its_range() -> None:
    """A reader sees how far the runs were apart."""
    row = cells(rates(results({"huey": [a_run(1_900), a_run(2_100), a_run(2_000)]})))[2]
    assert row[-1] == "**2,000 (1,900–2,100)**"


def test_a_single_run_has_no_range() -> None:
    """One figure is not dressed up as three."""
    assert cells(rates(results({"huey": [a_run(1_900)]})))[2][-1] == "**1,900**"


def test_a_way_that_a_system_does_not_have_is_a_dash() -> None:
    """Nothing is made up for a system without batches."""
    head, _, row = cells(rates(results({"huey": [a_run(blocking=7_000)]})))
    assert dict(zip(head, row, strict=True)) == {
        "tasks a second": "Huey",
        "blocking, one by one": "7,000",
        "awaited, one by one": "–",
        "awaited, 32 at once": "–",
        "in bulk": "–",
        "drained": "**1,000**",
    }


def test_the_fastest_comes_first_in_every_table() -> None:
    """The order of the systems is that of their medians at draining."""
    for table in (rates, costs, promises):
        rows = cells(table(results(TWO_PEERS)))[2:]
        assert [row[0] for row in rows] == ["qcore", "SAQ", "Huey"]


def test_every_row_has_as_many_cells_as_the_head() -> None:
    """No text of the catalogue breaks a table."""
    everyone = results({name: [a_run(blocking=1, awaited=1)] for name in CATALOGUE})
    for table in (rates, costs, promises):
        head, *rows = cells(table(everyone))
        assert len(rows) == 1 + len(CATALOGUE)
        assert {len(row) for row in rows} == {len(head)}


def test_what_a_system_promises_stands_beside_its_rate() -> None:
    """At most once is not shown as if it were at least once."""
    rows = {row[0]: row for row in cells(promises(results(TWO_PEERS)))[2:]}
    assert rows["Huey"][2] == "at most once"
    assert rows["qcore"][2] == "at least once, fenced"


def test_latencies_have_three_digits_that_mean_something() -> None:
    """Tenths of a millisecond are told where they matter, and not where they do not."""
    assert cells(costs(results({"saq": [a_run(p50=0.8234)]})))[2][1:4] == ["0.823", "2", "123"]


def test_lost_tasks_are_told_in_the_table_and_are_not_clean() -> None:
    """One task lost in one of three runs is neither a median nor forgotten."""
    bad = results({"huey": [a_run(), a_run(lost=1), a_run()]})
    assert "**1 lost**" in promises(bad)
    assert not is_clean(bad)


def test_a_system_that_failed_is_named_and_is_not_clean() -> None:
    """Leaving a peer out is no way to win."""
    bad = results({"huey": [a_run()]}, failed={"arq": "its worker ended"})
    assert "Left out, because they failed: arq." in document(bad)
    assert not is_clean(bad)


def test_a_run_without_fault_is_clean() -> None:
    """What is well is said to be well."""
    assert is_clean(results(TWO_PEERS))


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that was slow for a round was slow for all: 40/3, 20/4 and 36/3."""
    drain = results(TWO_PEERS)["ratios"]["drain_over_fastest_peer"]
    assert drain == {"peer": "saq", "median": 12.0, "min": 5.0, "max": 13.33}


def test_our_blocking_client_is_held_against_the_fastest_peer_of_either_kind() -> None:
    """The fastest at one by one may block or await: 8/8, 4/4 and 9/4.5."""
    blocking = results(TWO_PEERS)["ratios"]["blocking_enqueue_over_fastest_peer"]
    assert blocking == {"peer": "saq", "median": 1.0, "min": 1.0, "max": 2.0}


@pytest.mark.parametrize("names", [["qcore"], ["huey", "saq"]])
def test_there_is_no_ratio_without_both_sides(names: list[str]) -> None:
    """A part of the contest has figures and claims nothing."""
    part = results({name: TWO_PEERS[name] for name in names})
    assert set(part["ratios"].values()) == {None}
    assert "times" not in document(part)


def test_only_what_is_between_the_marks_is_replaced() -> None:
    """The text around the figures is nobody's but its author's."""
    begin, end = marks("redis")
    page = f"before\n\n{begin}\nold\n{end}\n\nafter\n"
    once = put_in(page, "new", "redis")
    assert once == f"before\n\n{begin}\n\nnew\n\n{end}\n\nafter\n"
    assert put_in(once, "new", "redis") == once


def test_a_page_without_a_place_for_the_figures_is_refused() -> None:
    """Figures are not put just anywhere."""
    with pytest.raises(ValueError, match="bench-peers"):
        put_in(f"{marks('redis')[0]} and no end", "new", "redis")


def test_figures_of_one_store_do_not_replace_those_of_another() -> None:
    """A page may have a place for each."""
    page = "".join(f"{begin}\nold\n{end}\n" for begin, end in map(marks, STORES))
    assert put_in(page, "new", "postgres").count("old") == len(STORES) - 1


def elements(svg: str, name: str, kind: str | None = None) -> list[ET.Element]:
    """Return the elements of a name, and of a class if one is given."""
    found = ET.fromstring(svg).iter(f"{SVG}{name}")  # noqa: S314  (our own picture)
    return [each for each in found if kind is None or each.get("class") == kind]


def bars(svg: str, kind: str) -> list[float]:
    """Return the lengths of the bars of a class."""
    return [
        float(rect.attrib["width"])
        for rect in elements(svg, "rect", kind)
        # the legend's are squares
        if rect.attrib["width"] != rect.attrib["height"]
    ]


def test_bars_are_as_long_as_their_rates() -> None:
    """A bar of twelve times the rate has twelve times the length."""
    svg = chart(results(TWO_PEERS))
    (ours,), hollow = bars(svg, "ours"), bars(svg, "most")
    assert [ours / each for each in hollow] == pytest.approx([36 / 3, 36 / 2], rel=0.01)


def test_at_most_once_is_drawn_hollow() -> None:
    """A promise that is less is seen to be less."""
    svg = chart(results({name: [a_run(blocking=1)] for name in CATALOGUE}))
    assert len(bars(svg, "most")) == sum(
        entry.delivery == "at most once" for entry in CATALOGUE.values()
    )
    assert len(bars(svg, "ours")) == sum(map(is_ours, CATALOGUE))


def test_a_range_is_drawn_from_the_least_to_the_greatest() -> None:
    """The widest run of all ends where the figures begin, and the picture holds it."""
    line = elements(chart(results({"qcore": [a_run(500), a_run(1_000), a_run(900)]})), "line")[0]
    least, greatest = (float(line.attrib[end]) - LEFT for end in ("x1", "x2"))
    assert least == pytest.approx(greatest / 2)
    assert LEFT + greatest < WIDTH


def test_the_chart_can_be_read_on_a_dark_page_and_aloud() -> None:
    """It has colours for both, a page of its own to stand on, a title and a description."""
    svg = chart(results(TWO_PEERS))
    assert "prefers-color-scheme: dark" in svg
    assert len(elements(svg, "rect", "page")) == 1
    assert elements(svg, "title")[0].text == "Tasks drained a second by one worker process"
    assert elements(svg, "desc")[0].text == "qcore: 36,000; SAQ: 3,000; Huey: 2,000"


def test_the_document_and_its_chart_are_of_the_same_run() -> None:
    """Each rate that the page prints in bold is written at the end of a bar."""
    begin, end = marks("redis")
    block = PAGE.partition(begin)[2].partition(end)[0]
    drained = re.findall(r"\*\*([\d,]+)(?: \([\d,–]+\))?\*\* \|$", block, flags=re.MULTILINE)
    written = [text.text for text in elements(PICTURE, "text")]
    assert drained
    assert [text for text in written if text in drained] == drained
