"""Push metrics to a Pushgateway, for workers that are gone before anybody scrapes them."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from socket import gethostname
from typing import Any, Final

from qcore.domain.retry import described
from qcore.entrypoints.metrics.collector import SampleCollector, Source, registry_of
from qcore.entrypoints.url_users import without_user
from qcore.log.logger import get_logger

PUSH_EVERY: Final = 15.0
"""Seconds between two pushes."""
PUSH_TIMEOUT: Final = 5.0
"""Seconds that a push may take: the last one holds up the end of the process."""
JOB: Final = "qcore"
"""The label `job` of what is pushed; `instance` is the name of the machine."""


class Pusher:
    """Push what sources say every 15 seconds; what fails is logged, once until it works again."""

    def __init__(self, sources: Sequence[Source], url: str, every: float = PUSH_EVERY) -> None:
        self._registry = registry_of(SampleCollector(sources))
        self._url, self._user = without_user(url)
        self._every = every
        self._has_failed = False

    def push(self) -> None:
        """Push once; whatever comes in the way concerns no task."""
        import prometheus_client.exposition as client

        exposition: Any = client
        handler = exposition.default_handler
        if self._user is not None:
            name, password = self._user
            handler = partial(exposition.basic_auth_handler, username=name, password=password)
        try:
            exposition.push_to_gateway(
                self._url,
                JOB,
                self._registry,
                {"instance": gethostname()},
                timeout=PUSH_TIMEOUT,
                handler=handler,
            )
        except Exception as error:  # noqa: BLE001  (a network's, or the gateway's refusal)
            if not self._has_failed:
                reason = described(error)
                get_logger().warning("metrics are not pushed", url=self._url, error=reason)
            self._has_failed = True
        else:
            self._has_failed = False

    def run(self, ended: threading.Event) -> None:
        """Push until the end, and once more then."""
        while not ended.wait(self._every):
            self.push()
        self.push()


@contextmanager
def pushing_metrics(sources: Sequence[Source], url: str | None) -> Generator[None, None, None]:
    """Push what sources say while the block lasts, and when it ends; not where there is no URL."""
    if url is None:
        yield
        return
    pusher, ended = Pusher(sources, url), threading.Event()
    thread = threading.Thread(target=pusher.run, args=[ended], name="qcore-push", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # it may be in a push already
        thread.join(3 * PUSH_TIMEOUT)
