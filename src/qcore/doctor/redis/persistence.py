"""Persistence: the append-only file and snapshots."""

from collections.abc import Iterator
from typing import Final

from qcore.doctor.redis.server_queries import Server
from qcore.domain.diagnostics import Finding, error, ok, warning

ABOUT: Final = "persistence"
_TURN_ON: Final = "CONFIG SET appendonly yes, and `appendonly yes` in redis.conf"
_LOOK: Final = "look at its log, and make room on its disk"


def persistence(server: Server) -> Iterator[Finding]:
    """Tell what a crash of the server would take."""
    info = server.info
    if "aof_enabled" not in info or server.is_replica:
        return
    if info.get("loading") == "1":
        yield warning(ABOUT, "it is loading its data", "wait until it has")
    yield from _failures(server)
    yield _file(server) if info["aof_enabled"] == "1" else _snapshots(server)


def _failures(server: Server) -> Iterator[Finding]:
    info, config = server.info, server.config
    if info.get("aof_last_write_status", "ok") != "ok":
        yield error(
            ABOUT, "its append-only file cannot be written: it takes no tasks until it can", _LOOK
        )
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield warning(ABOUT, "its append-only file could not be rewritten, and grows", _LOOK)
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        stops = config.get("stop-writes-on-bgsave-error") != "no" and config.get("save") != ""
        grade = error if stops else warning
        effect = ": it takes no tasks until one is" if stops else ""
        yield grade(ABOUT, f"its last snapshot could not be saved{effect}", _LOOK)


def _file(server: Server) -> Finding:
    match server.config.get("appendfsync"):
        case "always":
            return ok(ABOUT, "append-only file, fsync always: what was acknowledged is on the disk")
        case "everysec":
            found = "append-only file, fsync everysec: a power cut may take the last second"
            return ok(ABOUT, found)
        case "no":
            return warning(
                ABOUT,
                "append-only file, fsync no: a power cut may take the last half minute",
                "CONFIG SET appendfsync everysec, and the same in redis.conf",
            )
        case _:
            return ok(ABOUT, "append-only file")


def _snapshots(server: Server) -> Finding:
    if server.config.get("save") == "":
        return warning(ABOUT, "it keeps nothing on a disk: a restart takes every task", _TURN_ON)
    changes = server.number("rdb_changes_since_last_save")
    rule = f" (save {server.config['save']})" if "save" in server.config else ""
    return warning(
        ABOUT,
        f"snapshots alone{rule}: a crash takes what came since the last one, "
        f"now {changes:,.0f} changes",
        _TURN_ON,
    )
