"""The alerts and the dashboard of `deploy/` are read by a parser, and name metrics that there are.

promtool, which is on no package index, checks them besides where it is installed.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click
import promql_parser as promql
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from qcore.adapters.instruments.metric_catalogue import METRICS, Metric
from qcore.domain.states import State
from qcore.domain.statistics import Outcome
from qcore.entrypoints.cli.group import qcore as commands

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
SCRAPED: Final = {"job", "instance"}
"""Labels that Prometheus adds to all that it scrapes."""
VALUES: Final = {
    "state": {each.value for each in State} - {"gone"},
    "outcome": {each.value for each in Outcome},
}
"""Labels with values that are known beforehand."""
UNITS: Final = {"short", "s", "ops", "percentunit"}
"""Ids of units of Grafana."""
VARIABLES: Final = {"$__rate_interval": "5m", "$queue": ".*", "$job": ".*"}


def alerts() -> list[dict[str, Any]]:
    """Return the rules of alerts."""
    text = (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    text = (DEPLOY / "grafana" / "qcore.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def documented() -> Iterator[str]:
    """Yield the queries of the page."""
    page = (DEPLOY.parent / "docs" / "how-to" / "monitor.md").read_text(encoding="utf-8")
    table = page[page.index("| what | query |") :].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        yield re.split(r"(?<!\\)\|", row)[2].strip(" `").replace("\\|", "|")


def queries() -> dict[str, str]:
    """Return all queries by where they stand."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in alerts()}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            found[f"panel {panel['title']} {target['refId']}"] = expr
    return found | {f"page {number}": query for number, query in enumerate(documented())}


QUERIES: Final = queries()


def selectors(query: str) -> list[tuple[str, list[Any]]]:
    """Return the names of the series that a query asks for, with their matchers."""
    found: list[tuple[str, list[Any]]] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql.VectorSelector):
            found.append((node.name, list(node.matchers.matchers)))
        return True

    promql.walk(promql.parse(query), visit)
    return found


def metric_of(series: str) -> Metric | None:
    """Return the metric that a series is of."""
    if series in METRICS:
        return METRICS[series]
    whole = METRICS.get(re.sub("_(bucket|sum|count)$", "", series))
    return whole if whole is not None and whole.kind == "histogram" else None


@pytest.mark.parametrize("query", QUERIES.values(), ids=list(QUERIES))
def test_a_query_asks_for_what_there_is(query: str) -> None:
    """A metric or a label that was renamed would leave a panel empty, and an alert silent."""
    found = selectors(query)
    assert found
    for series, matchers in found:
        metric = metric_of(series)
        assert metric is not None, series
        for matcher in matchers:
            assert matcher.name in {*metric.labels, *SCRAPED}
            if matcher.name in VALUES:
                assert set(matcher.value.split("|")) <= VALUES[matcher.name]


@pytest.mark.parametrize("query", QUERIES.values(), ids=list(QUERIES))
def test_a_counter_is_asked_for_by_its_growth(query: str) -> None:
    """And a histogram: what they have counted since a process began says nothing."""
    grown: list[str] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql.MatrixSelector):
            grown.append(node.vector_selector.name)
        return True

    promql.walk(promql.parse(query), visit)
    for series, _ in selectors(query):
        metric = metric_of(series)
        assert metric is not None
        assert (series in grown) is (metric.kind != "gauge")


def test_every_metric_is_on_the_dashboard() -> None:
    """One that nobody looks at need not be there."""
    panels = [query for place, query in QUERIES.items() if place.startswith("panel ")]
    shown = {metric_of(series) for query in panels for series, _ in selectors(query)}
    assert {each.name for each in METRICS.values()} == {each.name for each in shown if each}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong(rule: dict[str, Any]) -> None:
    """In two lines, with a severity, and for labels that its query leaves."""
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description"}
    if "for" in rule:
        assert promql.parse_duration(rule["for"]) > timedelta(0)
    said = " ".join(rule["annotations"].values())
    for label in re.findall(r"\$labels\.(\w+)", said):
        grouped = set(re.findall(r"by \(([^)]*)\)", rule["expr"]))
        assert not grouped or all(label in each.split(", ") for each in grouped)


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_prometheus_reads_the_rules_and_they_tell_what_they_should(
    arguments: tuple[str, ...],
) -> None:
    """Also the first failure of a name that nobody has heard of, which has not grown from 0."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    command, folder = [promtool, *arguments], DEPLOY / "prometheus"
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def left_out(given: object, known: object, place: str = "") -> Iterator[str]:
    """Yield where something was given that is not known, or is known as something else."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name in given:
            if name not in known:
                yield f"{place}.{name}"
            else:
                yield from left_out(given[name], known[name], f"{place}.{name}")
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for at, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from left_out(one, other, f"{place}[{at}]")
    elif given != known:
        yield place


def test_grafana_knows_each_field_of_the_dashboard() -> None:
    """By the types that Grafana's makers generate from its schema: one that is misspelt is lost."""
    register_default_plugins()
    read = Dashboard.from_json(dashboard())
    found = left_out(dashboard(), json.loads(JSONEncoder().encode(read)))
    # Grafana writes that itself for a variable, beside the query, which it goes by
    assert [each for each in found if not re.fullmatch(r"\.templating.*\.definition", each)] == []


def test_panels_do_not_lie_on_each_other() -> None:
    """Each has its place of the 24 columns, and an id of its own."""
    panels = dashboard()["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("panel", dashboard()["panels"], ids=lambda each: each["title"])
def test_a_panel_asks_the_source_that_is_chosen(panel: dict[str, Any]) -> None:
    """By variables that there are, and in a unit; several queues match as a regex."""
    known = {each["name"]: each for each in dashboard()["templating"]["list"]}
    if panel["type"] == "row":
        return
    sources = [panel["datasource"], *(each["datasource"] for each in panel["targets"])]
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in sources)
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    for target in panel["targets"]:
        for name in set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}:
            used = re.findall(rf'(\S)"\${name}"', target["expr"])
            assert set(used) == {"~" if known[name]["multi"] else "="}


def test_what_is_scraped_is_where_the_page_serves_it() -> None:
    """The rules stand beside the configuration, and the port is that of the page."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    assert [(DEPLOY / "prometheus" / name).is_file() for name in config["rule_files"]] == [True]
    page = (DEPLOY.parent / "docs" / "how-to" / "monitor.md").read_text(encoding="utf-8")
    for job in config["scrape_configs"]:
        [target] = job["static_configs"][0]["targets"]
        assert target.rpartition(":")[2] in page


def test_an_alert_names_commands_that_there_are() -> None:
    """Somebody types them at night."""
    texts = [text for rule in alerts() for text in rule["annotations"].values()]
    named = {name for text in texts for name in re.findall(r"see qcore ([a-z]+)", text)}
    assert named
    assert named <= set(commands.list_commands(click.Context(commands)))
