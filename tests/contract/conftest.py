"""A fake Redis that keeps compiled scripts from one case to the next, as the real servers do."""

from collections.abc import Callable
from typing import Any

import fakeredis
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


@pytest.fixture(scope="session")
def fake_server() -> fakeredis.FakeServer:
    """Give a fake server: shared, so empty it first, and leave nothing connected."""
    server = fakeredis.FakeServer()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LUA_MODULE, "LuaRuntime", CompilingOnce)
        # the first script makes the runtime for all
        with fakeredis.FakeRedis(server=server) as client:
            client.eval("return 1", 0)
    return server
