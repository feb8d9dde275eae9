"""Which function a child process calls: the very one that the handler was given."""

from functools import partial
from typing import Any

import pytest

from qcore import Context, InvalidOption
from qcore.testing import a_task, drain
from tests.app import process_declarations, process_handlers
from tests.app.kit import Lab


async def test_a_declaration_that_an_import_runs_may_be_of_any_function() -> None:
    """A child has it from the same declaration, whatever the function's name leads to."""
    lab, other = process_declarations.lab, process_declarations.other
    handles = {
        name: await lab.client.enqueue(a_task(name=name, retention=600))
        for name in process_declarations.RESULTS
    }
    await lab.worker(burst=True, process_pool=1).run()
    found = {name: await handle.result() for name, handle in handles.items()}
    assert found == process_declarations.RESULTS
    handle = await other.client.enqueue(a_task(name="lambda", retention=600))
    await drain(other)
    assert await handle.result() == "lambda of another queue"


class Service:
    @classmethod
    def classy(cls, ctx: Context) -> None: ...

    def method(self, ctx: Context) -> None: ...

    def __call__(self, ctx: Context) -> None: ...


class Special(Service):
    pass


def _plain(ctx: Context) -> None: ...


def _doubled(ctx: Context) -> None: ...


decorated = process_declarations.times_ten(_doubled)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "function",
    [Service().method, decorated, lambda ctx: None, partial(_plain), Service()],
    ids=["a method", "decorated", "a lambda", "a partial", "an object"],
)
def test_a_later_declaration_of_what_another_process_cannot_find_is_refused(function: Any) -> None:
    """No import runs this test's code, and the name leads nowhere, or to another function."""
    with pytest.raises(InvalidOption, match="another process cannot find"):
        Lab().task("a", process=True)(function)


@pytest.mark.parametrize("function", [_plain, Special.classy, process_handlers.follow])
def test_a_later_declaration_of_what_has_a_name_is_fine(function: Any) -> None:
    """The function itself is under its own name in its module; or a handler of it is."""
    Lab().route("a", function, process=True)


def test_a_function_that_its_module_has_replaced_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under its name another process would find the other one."""
    before = process_handlers.pid
    monkeypatch.setattr(process_handlers, "pid", process_handlers.about)
    with pytest.raises(InvalidOption, match="another process cannot find"):
        Lab().task("a", process=True)(before)
