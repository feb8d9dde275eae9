"""The command line: `qcore worker`, `qcore bench`, `qcore doctor`."""

import os
import sys

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


def main() -> None:
    """Run the command that the arguments name, and leave with its status."""
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
        qcore(prog_name="qcore")
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
