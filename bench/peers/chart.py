"""Drain rates as a bar chart: SVG, written by hand, for light and for dark pages."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from bench.peers.catalogue import AT_MOST, CATALOGUE, is_ours

HEADING = "Tasks drained a second by one worker process"
WIDTH = 760
LEFT = 170
"""Where the bars begin; the names end before it."""
RIGHT = 110
"""For the figures at the ends of the bars."""
TOP = 64
ROW, BAR = 30, 18
BOTTOM = 52

STYLE = """\
  .page { fill: #ffffff; stroke: #d0d7de }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .note { font-size: 12px; fill: #59636e }
  .ours { fill: #1a7f37 }
  .peer { fill: #6e7f94 }
  .most { fill: #ffffff; stroke: #6e7f94; stroke-width: 1.5 }
  .range { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d }
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    .ours { fill: #3fb950 }
    .peer { fill: #8b98a9 }
    .most { fill: #0d1117; stroke: #8b98a9 }
    .range { stroke: #e6edf3 }
  }"""


def chart(results: Mapping[str, Any]) -> str:
    """Return an SVG document with a bar for each system, the fastest first."""
    drains = {name: system["figures"]["drain_per_s"] for name, system in results["systems"].items()}
    order = sorted(drains, key=lambda name: -drains[name]["median"])
    scale = (WIDTH - LEFT - RIGHT) / max(drain["max"] for drain in drains.values())
    height = TOP + ROW * len(order) + BOTTOM
    parts = [
        _tag("title", HEADING, id="title"),
        _tag("desc", _summary(order, drains), id="summary"),
        f"<style>\n{STYLE}\n</style>",
        _tag("rect", class_="page", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=8),
        _tag("text", HEADING, class_="title", x=20, y=30),
        _tag("text", _subtitle(results), class_="note", x=20, y=50),
        *(
            part
            for place, name in enumerate(order)
            for part in _row(name, drains[name], place, scale)
        ),
        *_legend(height - 20),
    ]
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    about = 'role="img" aria-labelledby="title summary"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {about}>'
    return "\n".join((head, *parts, "</svg>\n"))


def _row(name: str, drain: Mapping[str, float], place: int, scale: float) -> list[str]:
    """Return a system's name, bar, range and figure."""
    top = TOP + ROW * place + (ROW - BAR) / 2
    middle = top + BAR / 2
    end, least, greatest = (LEFT + drain[which] * scale for which in ("median", "min", "max"))
    beside = max(end, greatest) + 8
    return [
        _tag("text", CATALOGUE[name].title, x=LEFT - 10, y=middle + 4.5, text_anchor="end"),
        _tag("rect", class_=_kind(name), x=LEFT, y=top, width=end - LEFT, height=BAR, rx=2),
        _tag("line", class_="range", x1=least, x2=greatest, y1=middle, y2=middle),
        _tag("text", f"{drain['median']:,.0f}", x=beside, y=middle + 4.5),
    ]


def _legend(y: float) -> list[str]:
    entries = (
        ("ours", "at least once, fenced"),
        ("peer", "at least once"),
        ("most", "at most once"),
    )
    return [
        part
        for x, (kind, words) in zip(range(LEFT, WIDTH, 170), entries, strict=False)
        for part in (
            _tag("rect", class_=kind, x=x, y=y - 10, width=12, height=12, rx=2),
            _tag("text", words, class_="note", x=x + 18, y=y),
        )
    ]


def _tag(name: str, text: str = "", **attributes: float | str) -> str:
    """Return an element; `class_` and `text_anchor` are written as SVG has them."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_written(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{words}>{escape(text)}</{name}>" if text else f"<{name}{words}/>"


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def _kind(name: str) -> str:
    if is_ours(name):
        return "ours"
    return "most" if CATALOGUE[name].delivery == AT_MOST else "peer"


def _subtitle(results: Mapping[str, Any]) -> str:
    machine, rounds = results["machine"], results["rounds"]
    figures = f"median and range of {rounds} rounds" if rounds > 1 else "one round"
    return (
        f"Tasks that do nothing; {figures}; {results['store']['version']}, "
        f"{machine['processors']} processors, {machine['day']}"
    )


def _summary(order: Sequence[str], drains: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(f"{CATALOGUE[name].title}: {drains[name]['median']:,.0f}" for name in order)
