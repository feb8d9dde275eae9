"""The command line: `qcore worker`, `qcore bench`, `qcore doctor`."""

import sys

from qcore.entrypoints.exiting import leave_soon


def main() -> None:
    """Run the command that the arguments name, and leave with its status."""
    try:
        from qcore.entrypoints.cli.group import qcore
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("qcore: the command line needs click: pip install 'qcore-queue[cli]'")
    try:
        qcore(prog_name="qcore")
    except SystemExit as leaving:
        leave_soon(leaving.code if isinstance(leaving.code, int) else 1)
        raise
