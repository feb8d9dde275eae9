"""Ports that stay free for a server that is down for a while."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from random import SystemRandom
from typing import Final

# Below the range from which a system gives a port to whoever connects (from 32768 on Linux): a
# server that restarts on its port must not find a client there. The port of a cluster's bus is
# 10,000 above the server's.
PORTS = range(11_000, 22_000)
BUS = 10_000
LOCKS: Final = Path(tempfile.gettempdir(), f"qcore-test-ports-{os.getuid()}")
"""A file of which each process of tests locks a byte for each port that it has, to its end."""

# pytest-randomly gives every test the same dice.
_dice = SystemRandom()
_given: set[int] = set()
# not an open file of Python, of which a process that ends would warn
_locks: Final = os.open(LOCKS, os.O_WRONLY | os.O_CREAT, 0o600)


def free_port() -> int:
    """Return a loopback port that was not given before and is free, as is its cluster bus's.

    It is given to no other process of tests as long as this one runs.
    """
    while True:
        port = _dice.choice(PORTS)
        if port not in _given and _is_ours(port) and _is_free(port) and _is_free(port + BUS):
            _given.add(port)
            return port


def _is_ours(port: int) -> bool:
    try:
        fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
