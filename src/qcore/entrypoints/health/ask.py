"""Ask a process on this machine for its health, as `curl` would."""

from http.client import HTTPConnection, HTTPException
from typing import Final

from qcore.entrypoints.health.vital_signs import Health

LONGEST_LINE: Final = 1_000
"""Bytes of an answer that are read: whoever listens there may be no qcore."""
LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (it listens nowhere)
"""Addresses that mean all of a machine's own, to one of them that can be asked."""
OK: Final = 200
UNWELL: Final = 503
TEXT: Final = "text/plain"


def ask(host: str, port: int, path: str, timeout: float) -> Health:
    """Return what the process that listens there says; that nobody does is an answer, too."""
    host = LOOPBACK.get(host, host)
    connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        line = response.read(LONGEST_LINE).decode("utf-8", "replace").strip()
        status, kind = response.status, response.headers.get_content_type()
    except (OSError, HTTPException) as error:
        reason = str(error) or type(error).__name__
        return Health(is_well=False, text=f"no answer from {host}:{port}: {reason}")
    finally:
        connection.close()
    if status not in {OK, UNWELL} or kind != TEXT:
        told = (
            f"what listens at {host}:{port} is no worker: it answers {path} with {status}, {kind}"
        )
        return Health(is_well=False, text=told)
    return Health(is_well=status == OK, text=line)
