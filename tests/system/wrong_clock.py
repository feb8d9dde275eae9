"""`python -m tests.system.wrong_clock SECONDS …`: qcore, on a machine whose clock is wrong."""

import sys
import time


def shift(seconds: float) -> None:
    """Set the clock of this process; to be called before anything has read it."""
    right = time.time
    time.time = lambda: right() + seconds


if __name__ == "__main__":
    shift(float(sys.argv.pop(1)))
    from qcore.entrypoints.cli import main

    main()
