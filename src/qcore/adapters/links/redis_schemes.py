"""The schemes of Redis URLs: known without the driver of Redis, which takes long to import."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["single", "sentinel", "cluster", "unix"]
"""What the address in a URL names: a server, Sentinels, nodes of a cluster, a socket."""

_SUFFIXES: Final[Sequence[tuple[str, bool, Kind]]] = [
    ("", False, "single"),
    ("s", True, "single"),
    ("+sentinel", False, "sentinel"),
    ("s+sentinel", True, "sentinel"),
    ("+cluster", False, "cluster"),
    ("s+cluster", True, "cluster"),
    ("+unix", False, "unix"),
]
SCHEMES: Final[Mapping[str, tuple[Kind, bool]]] = {
    f"{name}{suffix}": (kind, tls)
    for name in ("redis", "valkey")
    for suffix, tls, kind in _SUFFIXES
}
"""What a URL begins with: the kind of address, and whether TLS is spoken."""
