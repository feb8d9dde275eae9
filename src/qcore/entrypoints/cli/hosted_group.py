"""All commands as a group of an application's own command line: `flask qcore …`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from qcore.entrypoints.cli.group import LazyGroup
from qcore.entrypoints.cli.hosted import host
from qcore.entrypoints.supervisor.link import follow_supervisor

if TYPE_CHECKING:
    from qcore.entrypoints.facade import Qcore


class HostedGroup(LazyGroup):
    """The commands, about the queue that `find` returns whenever one of them is run."""

    def __init__(self, find: "Callable[[], Qcore]", name: str = "qcore") -> None:
        super().__init__(name, help="Run background tasks, and look after them.")
        self._find = find

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named."""
        # where this process is one that a supervisor has started
        follow_supervisor()
        host(ctx, self._find())
        return super().invoke(ctx)
