"""What users import: about 25 names at the top, the rest in public modules."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import qcore
from qcore import Qcore, QcoreError, errors
from qcore.types import Options

PUBLIC = sorted(
    name
    for _, name, is_package in pkgutil.iter_modules(qcore.__path__)
    if name != "__main__" and not is_package
)


def modules() -> list[ModuleType]:
    """Return every module of qcore but those for tests, the benchmark and Django."""
    found = pkgutil.walk_packages(qcore.__path__, "qcore.")
    names = [
        each.name
        for each in found
        # what is for Django can be imported with settings of Django alone
        if not any(part in each.name for part in ("testing", "benchmark", "qcore.django"))
    ]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_a_page_holds_the_names_at_the_top() -> None:
    """Few enough to be read."""
    assert len(qcore.__all__) <= 30


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_of_a_public_module_is_there(name: str) -> None:
    """And each module says in its docstring what it holds."""
    module = importlib.import_module(f"qcore.{name}")
    assert module.__doc__
    assert module.__all__ == sorted(module.__all__, key=lambda each: (not each.isupper(), each))
    for each in module.__all__:
        assert hasattr(module, each)


def test_a_name_that_is_no_broker_is_not_there() -> None:
    """The module that imports late refuses what it does not know, as any other does."""
    with pytest.raises(AttributeError, match="no attribute 'MongoBroker'"):
        _ = importlib.import_module("qcore.brokers").MongoBroker


def test_every_error_that_users_meet_is_exported() -> None:
    """All that is raised on purpose has its place in `qcore.errors`."""
    raised = {
        kind
        for module in modules()
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, QcoreError)
    }
    assert {kind.__name__ for kind in raised} == set(errors.__all__)


@pytest.mark.parametrize(
    "name", ["task", "route", "aggregator", "middleware", "lifespan", "on_error", "worker"]
)
def test_the_decorators_are_methods_that_help_shows(name: str) -> None:
    """An editor and `help(Qcore)` find them on the class, with what they take."""
    method = getattr(Qcore, name)
    assert inspect.isfunction(method)
    assert inspect.getdoc(method)
    assert next(iter(inspect.signature(method).parameters)) == "self"


@pytest.mark.parametrize("option", sorted(Options.__annotations__))
def test_the_help_of_a_task_names_its_options(option: str) -> None:
    """Who reads it need not look for `Options`."""
    assert f"`{option}`" in (inspect.getdoc(Qcore.task) or "")


def test_memory_needs_no_driver_of_another_store() -> None:
    """A test over memory does not wait for redis-py."""
    code = "import sys, qcore.brokers; qcore.brokers.MemoryBroker(); print('redis' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
