"""Unique keys derived from a task's name and arguments."""

from collections.abc import Mapping
from hashlib import sha256


def digest_of(argument: bytes) -> str:
    """Return the digest of one argument, encoded in its canonical form."""
    return sha256(argument).hexdigest()


def key_of(name: str, digests: Mapping[str, str]) -> str:
    """Return the unique key that tasks of one name with equal arguments share.

    `digests` are those of the arguments, by name. The queue is no part of it: a broker keeps the
    keys of each queue apart.
    """
    parts = [name, *(f"{argument}={digest}" for argument, digest in sorted(digests.items()))]
    return sha256("\0".join(parts).encode()).hexdigest()
