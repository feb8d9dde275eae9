"""Failover: whether Sentinels agree, and whether a cluster serves all its slots."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from qcore.adapters.links.redis import Node
from qcore.doctor.redis.server_queries import ServerQueries
from qcore.domain.diagnostics import Finding, error, ok, warning
from qcore.domain.errors import QcoreError
from qcore.domain.record import record

MOST: Final = 3
"""Sentinels that a majority of can be told from a part of."""
SLOTS: Final = 16_384
_DOWN: Final = {"fail", "fail?", "noaddr"}


async def sentinels(nodes: Sequence[Node], master: str) -> list[Finding]:
    """Tell whether Sentinels would agree on another master."""
    views: dict[str, _View] = {}
    found: list[Finding] = []
    for node in nodes:
        try:
            views[node.name] = await _view(node, master)
        except QcoreError as why:
            found.append(warning("sentinels", f"{node.name} does not answer ({why})", "start it"))
    return [*found, *findings_of(views)]


@record
class _View:
    """What a Sentinel sees: where the master is, how it is, how many others watch it."""

    place: str
    flags: frozenset[str]
    others: int
    quorum: str | None
    """Why no other master could be chosen."""


async def _view(node: Node, master: str) -> _View:
    """Return what a Sentinel sees, or raise what it answers."""
    state, quorum = await node.ask(("SENTINEL", "MASTER", master), ("SENTINEL", "CKQUORUM", master))
    if isinstance(state, QcoreError):
        raise state
    words: list[str] = [word.decode() for word in state]
    facts = dict(zip(words[::2], words[1::2], strict=False))
    return _View(
        f"{facts.get('ip')}:{facts.get('port')}",
        frozenset(facts.get("flags", "").split(",")),
        int(facts.get("num-other-sentinels", 0)),
        _said(quorum) if isinstance(quorum, QcoreError) else None,
    )


def _said(why: QcoreError) -> str:
    """Return the words of a server's answer."""
    return str(why).rpartition("(")[2].rstrip(")")


def findings_of(views: Mapping[str, _View]) -> Iterator[Finding]:
    """Tell what follows from what the Sentinels see."""
    places = {view.place for view in views.values()}
    if len(places) > 1:
        yield error(
            "sentinels",
            f"they name different masters: {', '.join(sorted(places))}",
            "wait for the failover to end; else SENTINEL RESET on those who are wrong",
        )
    for name, view in views.items():
        down = view.flags & {"s_down", "o_down"}
        if down:
            yield error("sentinels", f"{name}: the master is down ({', '.join(sorted(down))})")
        if view.quorum is not None:
            yield error(
                "sentinels",
                f"{name}: no other master could be chosen ({view.quorum})",
                "start the Sentinels that are missing, or lower the quorum",
            )
        elif view.others + 1 < MOST:
            yield warning(
                "sentinels",
                f"{name} knows {view.others + 1} in all: with one gone, or cut off, there is no "
                "majority",
                "run three or more, on machines of their own",
            )
    if len(places) == 1 and all(view.quorum is None for view in views.values()):
        yield ok("sentinels", f"{len(views)} agree on {places.pop()}")


async def cluster(nodes: Sequence[Node], queries: ServerQueries) -> list[Finding]:
    """Tell whether all slots are served, and who is down, as the first sees it who answers."""
    for node in nodes:
        try:
            state, listing = await queries.ask(node, ("CLUSTER", "INFO"), ("CLUSTER", "NODES"))
        except QcoreError:
            # that it does not answer is told where it is asked about itself
            continue
        if state is not None:
            return [
                *cluster_findings(
                    node.name, state.decode(), "" if listing is None else listing.decode()
                )
            ]
    return []


def cluster_findings(name: str, state: str, nodes: str) -> Iterator[Finding]:
    """Tell what a node says of its cluster."""
    rows = (line.partition(":") for line in state.splitlines())
    facts = {key: value for key, _, value in rows}
    served = int(facts.get("cluster_slots_ok", 0))
    down = [*_down(nodes)]
    if facts.get("cluster_state") != "ok" or served < SLOTS:
        yield error(
            "cluster",
            f"{name}: the cluster is {facts.get('cluster_state')}, {served:,} of {SLOTS:,} slots "
            "are served: some or all queues are away",
            "redis-cli --cluster check, and --cluster fix; start the nodes that are down",
        )
    if down:
        yield warning(
            "cluster",
            f"{name}: {', '.join(down)} down",
            "start them, or have the cluster forget them: CLUSTER FORGET",
        )
    if not down and facts.get("cluster_state") == "ok" and served == SLOTS:
        yield ok(
            "cluster",
            f"every slot is served, by {facts.get('cluster_size')} masters of "
            f"{facts.get('cluster_known_nodes')} nodes",
        )


def _down(nodes: str) -> Iterator[str]:
    """Yield where the nodes are that are down (redis.io, CLUSTER NODES)."""
    for line in nodes.splitlines():
        words = line.split()
        if _DOWN & set(words[2].split(",")):
            yield words[1].partition("@")[0] or words[0]
