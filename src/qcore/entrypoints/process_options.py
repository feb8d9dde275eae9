"""How the processes of a worker are run, as the command line says it."""

import os
from math import inf
from typing import Final
from urllib.parse import urlsplit

from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.entrypoints.health.vital_signs import HUNG

MAX_WORKERS = 1_000
"""More is a misspelling."""
SHORTEST_HANG: Final = 5.0
"""Seconds; a loop that is blocked for less is that of a worker with much to do."""


@record
class ProcessOptions:
    """How many processes there are, when one is replaced, and who may ask for their health.

    Raises `InvalidOption` where no process can be run like that.
    """

    workers: int | None = None
    """How many worker processes a supervisor looks after; None for this process alone."""
    reload: bool = False
    """Whether they are replaced when a Python file of the working folder changes."""
    max_tasks: int | None = None
    """After how many runs of tasks a worker is replaced; None for never."""
    max_memory: int | None = None
    """From how much memory on, in MiB, a worker is replaced; None for never."""
    hang_timeout: float = HUNG
    """Seconds for which the event loop of a worker may be blocked, after which its supervisor kills
    it and starts another; 0 for any time."""
    health_port: int | None = None
    """Where questions about health are answered; 0 for any port that is free, None for nowhere."""
    health_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Where metrics are served; 0 for any port that is free, None for nowhere."""
    metrics_host: str = "127.0.0.1"
    metrics_push: str | None = None
    """The URL of a Pushgateway; None for none."""
    burst: bool = False
    leave_timeout: float = 60.0
    """Seconds after which a worker that was asked to leave, and has not, is killed."""

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidOption` for what makes no sense."""
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            raise InvalidOption(
                f"workers is {self.workers}: expected a whole number from 1 to {MAX_WORKERS:,}"
            )
        if self.max_tasks is not None and self.max_tasks < 1:
            raise InvalidOption(f"max_tasks is {self.max_tasks}: expected None or 1 and more")
        if self.max_memory is not None and self.max_memory < 1:
            raise InvalidOption(f"max_memory is {self.max_memory}: expected 1 MB or more")
        if self.hang_timeout and not SHORTEST_HANG <= self.hang_timeout < inf:
            raise InvalidOption(
                f"hang_timeout is {self.hang_timeout:g}: expected 0 for never, or "
                f"{SHORTEST_HANG:g} seconds and more"
            )
        if self.metrics_push is not None:
            _check_gateway(self.metrics_push)
        if self.reload and self.burst:
            raise InvalidOption("reload and burst are both set: expected one of them")
        if os.name == "nt" and (self.is_supervised or self.max_memory is not None):
            raise InvalidOption("workers, reload and max_memory are not for Windows")

    @property
    def is_supervised(self) -> bool:
        """Whether the workers are processes of their own, below a supervisor."""
        return self.workers is not None or self.reload

    @property
    def is_measured(self) -> bool:
        """Whether metrics are served or pushed."""
        return self.metrics_port is not None or self.metrics_push is not None


def _check_gateway(url: str) -> None:
    """Raise `InvalidOption` for what is no URL of a Pushgateway."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise InvalidOption("metrics_push is no URL: expected one such as http://pushgateway:9091")
