"""Unique keys derived from a task's name and arguments."""

from hashlib import sha256


def key_of(name: str, arguments: bytes) -> str:
    """Return the unique key that tasks of one name with equal arguments share.

    `arguments` are encoded in one order, whatever order they were given in. The queue is no part of
    it: a broker keeps the keys of each queue apart.
    """
    return sha256(name.encode() + b"\0" + arguments).hexdigest()
