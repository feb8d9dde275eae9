"""Queries that only an examination sends: INFO, CONFIG GET and others, which may be forbidden."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from qcore.adapters.links.redis import Arg, Node, RedisCommand, Reply
from qcore.adapters.links.redis.server_info import info_fields
from qcore.domain.diagnostics import Finding, advice
from qcore.domain.errors import QcoreError
from qcore.domain.record import record

CONFIG: Final = (
    "appendfsync",
    "min-replicas-to-write",
    "save",
    "slowlog-log-slower-than",
    "stop-writes-on-bgsave-error",
)
"""What INFO does not tell."""

_RULE: Final = re.compile(r"ACL SETUSER <user> ([+~&]\S+)")
_UNKNOWN: Final = "it lacks a command"


@record
class Server:
    """A server, with what INFO and CONFIG GET answer: nothing where they are not to be asked."""

    node: Node
    info: Mapping[str, str]
    config: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return where it is."""
        return self.node.name

    @property
    def is_replica(self) -> bool:
        """Whether it follows another one."""
        return self.info.get("role") == "slave"

    def number(self, fact: str) -> float:
        """Return a fact of INFO that is a number, 0 where it is not told."""
        try:
            return float(self.info.get(fact, "0"))
        except ValueError:
            return 0.0


class ServerQueries:
    """Sends queries, and remembers those that were forbidden or unknown."""

    def __init__(self) -> None:
        self._forbidden: dict[str, None] = {}
        self._unknown: dict[str, None] = {}

    async def server(self, node: Node) -> Server:
        """Return a server with what it says of itself."""
        asked = [("CONFIG", "GET", name) for name in CONFIG]
        info, *settings = await self.ask(node, ("INFO",), *asked)
        pairs = ((reply[0].decode(), reply[1].decode()) for reply in settings if reply)
        return Server(node, info_fields(info or b""), dict(pairs))

    async def ask(self, node: Node, *commands: RedisCommand) -> list[Reply]:
        """Send commands together; None stands for what is not answered."""
        answers: list[Reply] = []
        for command, reply in zip(commands, await node.ask(*commands), strict=True):
            if isinstance(reply, QcoreError):
                self._note(command, reply)
            answers.append(None if isinstance(reply, QcoreError) else reply)
        return answers

    def _note(self, command: RedisCommand, why: QcoreError) -> None:
        rule = rule_of(why)
        if rule is not None:
            self._forbidden[rule] = None
        elif _UNKNOWN in str(why):
            self._unknown[_spelled(command)] = None

    def findings(self, user: str, besides: Sequence[str]) -> Iterator[Finding]:
        """Tell what could not be asked for want of permissions, `besides` those known to lack."""
        rules = " ".join(rule for rule in self._forbidden if rule not in besides)
        if rules:
            yield advice(
                "questions",
                f"some of this examination is not for user {user}: qcore works without {rules}",
                f"to see all of it: ACL SETUSER {user} {rules}",
            )
        if self._unknown:
            yield advice(
                "questions",
                f"this server does not answer {', '.join(self._unknown)}",
                "look at what it would tell by the means of whoever runs the server",
            )


def rule_of(why: QcoreError) -> str | None:
    """Return which rule of an ACL would have allowed what was refused, None if none would."""
    found = _RULE.search(str(why))
    return None if found is None else found[1]


def _spelled(command: RedisCommand) -> str:
    """Return the words of a command that are its name."""
    words: tuple[Arg, ...] = command[:2] if command[0] in {"CONFIG", "SLOWLOG"} else command[:1]
    return " ".join(str(word) for word in words)
