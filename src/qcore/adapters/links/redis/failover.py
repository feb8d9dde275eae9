"""Failover: what is given up when a server is not the one to ask any more, and found anew.

A server says so with READONLY, NOREPLICAS, CLUSTERDOWN and the like, or falls silent. The link that
meets it leaves that server (`Failover.leave`), and so does the link of the other kind, asynchronous
or blocking, to the same Redis:

- all connections are closed: idle ones at once, the others when they come back to their pool. A
  name in front of the servers, be it a DNS name, a proxy or a service of Kubernetes, sends only new
  connections elsewhere.
- the address of a master and the map of slots are forgotten.
- the server's clock counts as unknown, so that the next call that succeeds asks a server for its
  time; and that server is where the links have arrived (`Failover.arrive`).

Subscriptions are made anew on arrival, not before: in the middle of a failover they would find the
old server again, which may keep them for ever and publish nothing. An idle worker, whose calls
read only, would not notice that its server takes no writes; so whoever listens without a message
for a while has a write tried that changes nothing (`RedisLink.listen`).

A connection that is made anew may reach the same server again. Nothing here repeats a call: the
link does, with backoff, until its timeout.
"""

from collections.abc import Iterator
from typing import Final, Protocol
from weakref import ref

from qcore.adapters.links.clock_sync import ServerClock


class Leaver(Protocol):
    """A link, as far as it has something to give up."""

    def drop_connections(self) -> None:
        """Close the connections for commands, and forget where servers are; from any thread."""
        ...

    def renew_subscriptions(self) -> None:
        """Subscribe anew; from any thread."""
        ...


class Failover:
    """What the links to one Redis share: the server's clock, and the decision to leave a server."""

    def __init__(self) -> None:
        self.clock: Final = ServerClock()
        self.departures: int = 0
        """How many times a server was left."""
        self._arrivals = 0
        """How many departures there had been when subscriptions were made anew."""
        self._links: list[ref[Leaver]] = []

    def join(self, link: Leaver) -> None:
        """Have a link leave with the others; it is held weakly."""
        self._links.append(ref(link))

    def leave(self, known: int) -> None:
        """Leave the server, unless that was done since there were `known` departures.

        Calls that were under way together are refused together, and leave once.
        """
        if known != self.departures:
            return
        # no lock, which a forked child might find locked: two threads count one departure
        self.departures = known + 1
        self.clock.invalidate()
        for link in self._members():
            link.drop_connections()

    def arrive(self, known: int) -> None:
        """Have subscriptions made anew if a server was left since they were.

        A server was asked when there had been `known` departures, and is the one to ask.
        """
        if self._arrivals >= known:
            return
        self._arrivals = known
        for link in self._members():
            link.renew_subscriptions()

    def _members(self) -> Iterator[Leaver]:
        for each in [*self._links]:
            link = each()
            if link is not None:
                yield link
