"""`python -m qcore`."""

import os
import sys
from contextlib import suppress


def _run() -> None:
    # Python looks into the working folder first, where a file may be called as a module that qcore
    # needs. The script `qcore` does not look there; the command does, for the application alone.
    with suppress(OSError):  # of a folder that was removed
        if not sys.flags.safe_path and sys.path and sys.path[0] == os.getcwd():  # noqa: PTH109
            sys.path.append(sys.path.pop(0))
    from qcore.entrypoints.cli import main

    main()


# a child process of a worker imports this module too, under another name
if __name__ == "__main__":
    _run()
