import re
from importlib import reload
from pathlib import Path
from types import ModuleType

import pytest

from bench.peers import plans
from bench.peers.catalogue import CATALOGUE, STORES, Entry, chosen, is_ours
from bench.peers.environments import PINS, pinned, version_of
from bench.peers.plans import Limits
from bench.peers.systems import ledger as the_ledger

SYSTEMS = Path(plans.__file__).parent / "systems"
LIMITS = Limits(tasks=100_000, seconds=3.0, probes=120)


@pytest.fixture
def ledger() -> ModuleType:
    """Return the module as a new process has it."""
    return reload(the_ledger)


def figures(drain: float, **rates: float) -> dict[str, float]:
    """Return what a warm-up found."""
    return {"drain_per_s": drain, **{f"{way}_per_s": rate for way, rate in rates.items()}}


def test_a_slow_system_is_given_fewer_tasks() -> None:
    """What drains 400 a second has three seconds' worth, and half of that to ask for."""
    plan = plans.after(figures(400, awaited=2_000), ("awaited",), LIMITS)
    assert (plan.drain, plan.asks) == (1_200, {"awaited": 3_000})


def test_a_fast_system_is_given_no_more_than_the_limit() -> None:
    """Whoever runs it decides how many are too many."""
    plan = plans.after(figures(50_000, bulk=90_000), ("bulk",), LIMITS)
    assert (plan.drain, plan.asks) == (100_000, {"bulk": 100_000})


def test_no_system_is_given_too_few_to_tell() -> None:
    """A rate of a few tasks is noise."""
    assert plans.after(figures(10, blocking=10), ("blocking",), LIMITS).drain == plans.LEAST


def test_a_small_limit_holds_in_the_warm_up_too() -> None:
    """A short trial is short from its beginning."""
    plan = plans.warm_up(("awaited", "bulk"), Limits(tasks=100, seconds=1.0, probes=5))
    assert (plan.drain, plan.asks, plan.probes) == (100, {"awaited": 100, "bulk": 100}, 5)


def test_what_is_drained_was_asked_for_in_the_fastest_way() -> None:
    """Filling a store is not measured, and need not take long."""
    rates = figures(1_000, awaited=2_000, bulk=9_000, concurrent=4_000)
    assert plans.after(rates, ("awaited", "concurrent", "bulk"), LIMITS).filler == "bulk"


def test_systems_are_chosen_by_name_in_the_order_of_the_catalogue() -> None:
    """The order of a round does not depend on who types."""
    assert [entry.name for entry in chosen("redis", ["saq", "qcore"])] == ["qcore", "saq"]


@pytest.mark.parametrize("store", STORES)
def test_each_store_has_qcore_and_its_peers(store: str) -> None:
    """Who names nobody has all of them; all are in one of the contests."""
    entries = chosen(store)
    assert [is_ours(entry.name) for entry in entries].count(True) == 1
    assert len(entries) > 2
    assert {entry.store for entry in entries} == {store}


def test_a_system_that_is_not_there_is_refused() -> None:
    """A slip of the pen is not a shorter contest."""
    with pytest.raises(ValueError, match="no system 'sqa' on redis: expected some of qcore, "):
        chosen("redis", ["saq", "sqa"])


def test_a_system_of_another_store_is_refused() -> None:
    """Figures of two servers make no ratio."""
    with pytest.raises(ValueError, match="no system 'huey' on postgres"):
        chosen("postgres", ["huey"])


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_every_system_has_a_module_and_a_version(entry: Entry) -> None:
    """What the catalogue names is there, and pinned."""
    source = (SYSTEMS / f"{entry.module}.py").read_text(encoding="utf-8")
    assert re.search(r"^(system = \w+|def system\(\))", source, flags=re.MULTILINE)
    assert re.fullmatch(r"[\w.]+", version_of(entry))


@pytest.mark.parametrize("file", sorted(PINS.glob("*.txt")), ids=lambda file: file.name)
def test_pins_are_names_and_versions_only(file: Path) -> None:
    """An environment is made from any index, of exactly these; uvloop is in each."""
    text = file.read_text(encoding="utf-8")
    for row in text.splitlines():
        assert row.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", row), row
    assert "uvloop" in pinned(text)


def test_the_rate_is_that_between_the_first_and_the_last_start(ledger: ModuleType) -> None:
    """Five tasks that began a quarter of a second apart ran at four a second."""
    ledger.prepare(5, 5)
    for n, moment in enumerate((2.25, 2.0, 2.5, 3.0, 2.75)):
        ledger.ran(n)
        ledger.starts[n] = moment
    assert ledger.rate(5) == 4.0


def test_the_ledger_tells_when_so_many_tasks_have_run(ledger: ModuleType) -> None:
    """The last of them sets the mark, and no other does."""
    drained, probed = ledger.prepare(3, 2, 3)
    ledger.ran(0)
    assert not drained.is_set()
    ledger.ran(1)
    assert drained.is_set()
    assert not probed.is_set()


def test_the_ledger_knows_what_ran_twice_and_what_never(ledger: ModuleType) -> None:
    """It counts each task, not only all of them."""
    ledger.prepare(3, 3)
    for n in (0, 2, 2):
        ledger.ran(n)
    assert list(ledger.runs) == [1, 0, 2]
