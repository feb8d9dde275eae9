"""Ports that stay free for a server that is down for a while."""

import socket
from random import SystemRandom

# Below the range from which a system gives a port to whoever connects (from 32768 on Linux): a
# server that restarts on its port must not find a client there. The port of a cluster's bus is
# 10,000 above the server's.
PORTS = range(11_000, 22_000)
BUS = 10_000

# pytest-randomly gives every test the same dice.
_dice = SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a loopback port that was not given before and is free, as is its cluster bus's."""
    while True:
        port = _dice.choice(PORTS)
        if port not in _given and _is_free(port) and _is_free(port + BUS):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
