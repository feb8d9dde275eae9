"""Tell systemd how the service is: the protocol of sd_notify(3), a datagram to a Unix socket."""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final, Self

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG_TIME: Final = "WATCHDOG_USEC"
WATCHDOG_PROCESS: Final = "WATCHDOG_PID"
SEND_TIMEOUT: Final = 1.0
"""Seconds for systemd to take a message, of which it has no room for any number."""


class ServiceNotifier:
    """Send messages to the service manager; to nobody where there is none.

    `watchdog_interval` is how often it wants to hear `alive`, in seconds; None for never.
    """

    def __init__(self, address: str | None, watchdog_interval: float | None = None) -> None:
        self._address = address
        self.watchdog_interval = (watchdog_interval or None) if address else None

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Self:
        """Return the notifier that the environment names, and take it out of there.

        A process that is started from here is not the service, and must not speak for it.
        """
        address = environment.pop(SOCKET, None)
        process = environment.pop(WATCHDOG_PROCESS, None)
        microseconds = environment.pop(WATCHDOG_TIME, None)
        is_ours = process is None or process == str(os.getpid())
        if microseconds is None or not microseconds.isdigit() or not is_ours:
            return cls(address)
        # half of the time, as sd_watchdog_enabled(3) recommends
        return cls(address, int(microseconds) / 2_000_000)

    def ready(self, status: str) -> None:
        """Say that the service has started, or has loaded its code anew."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that the service loads its code anew; `ready` is to follow."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Say that the service is not hung, if anybody wants to know."""
        if self.watchdog_interval is not None:
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # a name that begins with @ is in the abstract namespace, where the first byte is zero
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        # a manager that is not there, or not of this kind (vsock), is no reason to fail
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_TIMEOUT)
            sender.sendto("\n".join(lines).encode(), address)
