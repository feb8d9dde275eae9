"""Fakes of Redis run their scripts as a server does: compiled once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE


class CompilingOnce(LUA_MODULE.LuaRuntime):
    """Compiles each script once; fakeredis would have it compiled at each EVALSHA."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._compiled: dict[str | bytes, Callable[[], Any]] = {}

    def execute(self, code: str | bytes) -> Any:
        compiled = self._compiled.get(code)
        if compiled is None:
            compiled = self._compiled[code] = self.compile(code)
        return compiled()


@pytest.fixture(scope="session", autouse=True)
def _scripts_are_compiled_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LUA_MODULE, "LuaRuntime", CompilingOnce)
        yield
