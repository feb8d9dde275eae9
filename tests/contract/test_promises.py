"""The ports promise in bullets, and the contract quotes each above the cases that hold it."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import qcore.ports
import qcore.testing.contract

ROLES = (
    "Producer",
    "Notifier",
    "Consumer",
    "Reader",
    "Operator",
    "Broker",
    "Timekeeper",
    "ClaimEndings",
    "Limiting",
    "Aggregating",
    "Periodic",
    "WorkerRegistry",
    "Recording",
)


def words(text: str) -> str:
    """Return text as if it were on one line."""
    return " ".join(text.split())


def promises() -> Iterator[str]:
    """Yield the bullets of every docstring in the ports' brokers."""
    files = Path(qcore.ports.__file__).parent.glob("*.py")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef) and node.name in ROLES:
            for inner in ast.walk(node):
                if isinstance(inner, ast.ClassDef | ast.AsyncFunctionDef | ast.FunctionDef):
                    doc = ast.get_docstring(inner) or ""
                    for bullet in re.findall(r"^- (.*(?:\n  .*)*)", doc, re.MULTILINE):
                        yield words(bullet)


def quoted() -> dict[str, int]:
    """Return each bullet that the contract quotes, with the number of cases below it."""
    cases: dict[str, int] = {}
    for path in Path(qcore.testing.contract.__file__).parent.glob("*.py"):
        parts = re.split(r"^ +# - ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for part in parts[1:]:
            comment, *rest = re.split(r"\n\s*\n", part, maxsplit=1)
            bullet = words(re.sub(r"\n\s*# ", "\n", comment))
            cases[bullet] = cases.get(bullet, 0) + "".join(rest).count("async def test_")
    return cases


@pytest.mark.parametrize("promise", sorted(set(promises())))
def test_every_promise_of_the_ports_has_a_case(promise: str) -> None:
    """A bullet in a port's docstring stands above a case of the contract, word for word."""
    assert quoted().get(promise, 0) > 0


def test_the_contract_quotes_no_promise_that_the_ports_do_not_make() -> None:
    """A bullet that was changed or taken back is not quoted any more."""
    assert set(quoted()) - set(promises()) == set()


def test_no_two_cases_have_the_same_name() -> None:
    """A suite that inherits both would run one of them alone."""
    files = Path(qcore.testing.contract.__file__).parent.glob("*.py")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    names = [
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name, times in Counter(names).items() if times > 1] == []


def test_the_contract_has_at_least_120_cases() -> None:
    """As many as promised, without counting parameters, each a sentence with a docstring."""
    suite = qcore.testing.contract.BrokerContract
    cases = [getattr(suite, name) for name in dir(suite) if name.startswith("test_")]
    assert len(cases) >= 120
    assert [case.__name__ for case in cases if not (case.__doc__ or "").endswith(".")] == []
