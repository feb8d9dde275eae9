"""The command line: `qcore worker`, `qcore bench`, `qcore doctor`."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qcore.entrypoints.early_stop import leave_on_stop
from qcore.entrypoints.exiting import leave_soon
from qcore.entrypoints.init_process import fork_if_init
from qcore.entrypoints.streams import (
    give_up_stderr,
    give_up_stderr_if_full,
    give_up_stdout,
    open_closed_streams,
)
from qcore.entrypoints.supervisor.link import follow_supervisor

if TYPE_CHECKING:
    import click

    from qcore.entrypoints.facade import Qcore


def main(
    arguments: Sequence[str] | None = None,
    *,
    name: str = "qcore",
    find: "Callable[[], Qcore] | None" = None,
) -> None:
    """Run the command that the arguments name, and leave with its status.

    A program that has this command line as one of its commands, such as `manage.py qcore`, gives
    its arguments, its name, and a function that returns the queue that commands are about.
    """
    # before a descriptor is opened
    open_closed_streams()
    if os.environ.get("_QCORE_COMPLETE", "").endswith("_complete"):
        # a shell draws its line: whatever is wrong, it is not said in the midst of it
        give_up_stderr()
    if not {"worker", "scheduler"}.isdisjoint(sys.argv[1:]):
        # before anything else is imported, which takes a while
        fork_if_init()
        leave_on_stop()
        follow_supervisor()
    try:
        from qcore.entrypoints.cli.group import qcore
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("qcore: the command line needs click: pip install 'qcore-queue[cli]'")
    try:
        command = qcore if find is None else _hosted(find)
        command(args=None if arguments is None else [*arguments], prog_name=name)
    except OSError as error:
        # of a store it is an error of qcore's: this one is of standard output
        give_up_stdout()
        leave_soon(1)
        sys.exit(f"qcore: cannot write to standard output: {error.strerror}")
    except SystemExit as leaving:
        leave_soon(leaving.code if isinstance(leaving.code, int) else 1)
        give_up_stderr_if_full()
        raise
    except KeyboardInterrupt:
        # while a command is yet imported
        sys.exit(130)


def _hosted(find: "Callable[[], Qcore]") -> "click.Group":
    from qcore.entrypoints.cli.hosted_group import HostedGroup

    return HostedGroup(find)
