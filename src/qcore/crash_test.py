"""Kill the producers and the workers of a broker, and count what it has lost.

python -m qcore.crash_test URL
"""

from qcore.entrypoints.crash_test.command import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
