"""Where metrics are served and pushed, and how a supervisor adds up what its workers report."""

import asyncio
import socket
import urllib.request
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.adapters.instruments import metric_catalogue as of
from qcore.adapters.instruments.metric_series import Change, Sample
from qcore.entrypoints.metrics.link_lines import (
    LONGEST,
    decoded_changes,
    decoded_samples,
    encoded_changes,
    encoded_samples,
)
from qcore.entrypoints.metrics.push import Pusher
from qcore.entrypoints.metrics.server import serving_metrics
from qcore.entrypoints.process_options import ProcessOptions
from qcore.entrypoints.supervisor.fleet import Member
from qcore.entrypoints.supervisor.fleet_metrics import FleetMetrics
from qcore.errors import InvalidOption
from tests.entrypoints.cli_kit import invoke
from tests.entrypoints.kit_of_metrics import samples_of


def up() -> Sequence[Sample]:
    """Return what a store says that is there."""
    return [(of.UP, (), [1.0])]


def test_metrics_are_served_as_long_as_the_block_lasts() -> None:
    """On a port that is free, where 0 asks for one; any path is answered."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        serving_metrics([up], "127.0.0.1", port),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert samples_of(answer.read().decode())["qcore_store_up",] == 1
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_in_use_is_one_line() -> None:
    """Which says the address, and why."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InvalidOption, match=r"^cannot listen on 127\.0\.0\.1:\d+ for metrics: Add"),
        serving_metrics([up], "127.0.0.1", taken.getsockname()[1]),
    ):
        pass


@pytest.mark.parametrize("url", ["pushgateway:9091", "ftp://x", "http://", "http://[::1", ""])
def test_what_is_no_gateway_is_refused(url: str) -> None:
    """Before anything is run; its text, which may have a password, is not repeated."""
    with pytest.raises(InvalidOption, match="metrics_push is no URL"):
        ProcessOptions(metrics_push=url)


def test_a_gateway_that_is_away_is_told_once_until_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An outage of a day is a line, not thousands."""
    pusher = Pusher([up], "http://127.0.0.1:1")
    pusher.push()
    pusher.push()
    assert caplog.text.count("metrics are not pushed") == 1


def test_the_password_of_a_gateway_is_not_shown() -> None:
    """By who shows all settings."""
    shown = invoke("config", "--metrics-push", "http://ann:s3cret@gateway:9091").output
    assert "gateway:9091" in shown
    assert "s3cret" not in shown


# --- lines between processes ---------------------------------------------------------------------

labels = st.tuples(st.text(max_size=100), st.text(max_size=100), st.just("succeeded"))


@given(st.lists(st.tuples(labels, st.floats(0, 1e9)), max_size=60))
def test_what_was_counted_comes_over_in_short_lines(
    counted: list[tuple[tuple[str, str, str], float]],
) -> None:
    """Whatever is in the labels: a line has no blank, so that it is not divided."""
    changes: list[Change] = [(of.RUNS.name, values, {0: number}) for values, number in counted]
    lines = list(encoded_changes(changes))
    assert [each for line in lines for each in decoded_changes(line)] == changes
    assert all(line.split() == [line] for line in lines)
    assert all(len(line) < LONGEST + 1_500 for line in lines)


def test_samples_come_over_and_the_last_line_says_so() -> None:
    """So that who waits for them knows when they are whole."""
    samples: list[Sample] = [(of.TASKS, (f"queue {n}", "dead"), [float(n)]) for n in range(300)]
    decoded = [decoded_samples(line) for line in encoded_samples(samples)]
    assert [sample for some, _ in decoded for sample in some] == samples
    assert [is_last for _, is_last in decoded] == [False] * (len(decoded) - 1) + [True]
    assert [is_last for _, is_last in map(decoded_samples, encoded_samples([]))] == [True]


@pytest.mark.parametrize("line", ["", "[[", '[["qcore_task_runs_total",["a"'])
def test_a_line_that_was_cut_off_is_nothing(line: str) -> None:
    """Its worker was killed in the middle of it."""
    assert decoded_changes(line) == []


# --- what a supervisor makes of them -------------------------------------------------------------


def loaded(slots: int, lag: float) -> str:
    """Return the line of a worker that tells how busy it is."""
    [line] = encoded_samples([(of.SLOTS, (), [slots]), (of.LOOP_LAG, (), [lag])])
    return line


async def test_what_a_worker_has_counted_stays_and_its_load_goes() -> None:
    """Slots are added up; of loops the latest counts."""
    metrics = FleetMetrics(lambda: False)
    first, second = Member(0, 0, 0.0), Member(1, 0, 0.0)
    for member in (first, second):
        [line] = encoded_changes([(of.RUNS.name, ("default", "x", "succeeded"), {0: 2.0})])
        metrics.counted(line)
        metrics.loaded(member, loaded(7, 0.5))
    metrics.loaded(second, loaded(8, 0.1))
    counted, load, _ = metrics.sources()
    assert (of.RUNS, ("default", "x", "succeeded"), (4.0,)) in counted()
    assert {metric.name: cell[0] for metric, _, cell in load()} == {
        of.SLOTS.name: 15,
        of.SLOTS_BUSY.name: 0,
        of.LOOP_LAG.name: 0.5,
    }
    metrics.forget(first)
    assert {metric.name: cell[0] for metric, _, cell in load()}[of.SLOTS.name] == 8
    assert (of.RUNS, ("default", "x", "succeeded"), (4.0,)) in counted()


async def test_the_store_is_asked_by_one_worker_for_each_scrape() -> None:
    """What it says, in several lines, is the answer; without any worker the store is down."""
    member, told = Member(0, 0, 0.0), [*up(), (of.TASKS, ("q", "dead"), [3.0])]
    lines = list(encoded_samples(told))

    def ask() -> bool:
        for line in lines:
            metrics.measured(member, line)
        return bool(lines)

    metrics = FleetMetrics(ask)
    *_, store = metrics.sources()
    answer = list(await asyncio.to_thread(store))
    assert answer == told
    lines.clear()
    assert [cell[0] for _, _, cell in await asyncio.to_thread(store)] == [0.0]
