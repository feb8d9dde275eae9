"""The Lua scripts, each assembled from the files that it is declared here to consist of.

A script is `lua/NAME.lua` behind the parts of `lua/lib` that it includes. Lua creates the functions
of a script anew for each call, so a script includes the parts that it uses and no others; a test
holds these declarations against the names that the files use. In front of the parts may stand

- a fast path, which replies to the most frequent requests before most functions are created;
- other scripts, each whole, as a function of its own KEYS and ARGV which the script calls.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from qcore.adapters.links.redis import Script

LIBRARY: Final[Mapping[str, Sequence[str]]] = {
    "keys": (),
    "version": ("keys",),
    "unused_keys": ("keys", "version"),
    "all_keys": ("keys",),
    "key_types": ("keys", "version"),
    "dedup": ("keys",),
    "sequence": ("keys",),
    "has_token": ("keys",),
    "task_meta": ("keys", "sequence"),
    "sorted_sets": ("keys",),
    "blocks": ("keys", "sequence"),
    "find_state": ("keys", "sequence", "blocks"),
    "lowest_score": ("keys",),
    "wakeups": ("keys",),
    "changes": ("keys",),
    "hashes": ("keys",),
    "group_member": ("keys",),
    "unique_keys": ("keys", "hashes", "wakeups"),
    "holders": ("keys", "task_meta", "find_state"),
    "details": ("keys", "hashes"),
    "limits": ("keys",),
    "limit_allowance": ("keys", "limits"),
    "task_name": ("keys",),
    "statistics": ("keys",),
    "entries": ("version",),
}
"""The parts of `lua/lib`, in the order in which they stand in a script, and what each uses."""

INCLUDES: Final[Mapping[str, Sequence[str]]] = {
    "enqueue": (
        "keys",
        "version",
        "unused_keys",
        "all_keys",
        "key_types",
        "dedup",
        "sequence",
        "blocks",
        "task_meta",
        "find_state",
        "lowest_score",
        "wakeups",
        "sorted_sets",
        "hashes",
        "group_member",
        "unique_keys",
        "holders",
        "details",
    ),
    "restore": (
        "keys",
        "version",
        "unused_keys",
        "all_keys",
        "key_types",
        "dedup",
        "sequence",
        "find_state",
        "wakeups",
        "sorted_sets",
        "unique_keys",
        "holders",
        "details",
    ),
    "claim": (
        "keys",
        "version",
        "key_types",
        "dedup",
        "sequence",
        "blocks",
        "task_meta",
        "wakeups",
        "changes",
        "sorted_sets",
        "group_member",
        "unique_keys",
        "limits",
        "limit_allowance",
        "task_name",
        "statistics",
    ),
    "transition": (
        "keys",
        "version",
        "key_types",
        "dedup",
        "sequence",
        "blocks",
        "has_token",
        "lowest_score",
        "wakeups",
        "changes",
        "sorted_sets",
        "hashes",
        "unique_keys",
        "details",
        "limits",
        "statistics",
    ),
    "settle_with_followups": (
        "keys",
        "version",
        "unused_keys",
        "all_keys",
        "key_types",
        "dedup",
    ),
    "aggregate": (
        "keys",
        "version",
        "all_keys",
        "key_types",
        "dedup",
        "task_meta",
        "sorted_sets",
        "hashes",
        "group_member",
        "unique_keys",
        "details",
    ),
    "sweep": (
        "keys",
        "version",
        "all_keys",
        "key_types",
        "sorted_sets",
        "hashes",
        "details",
        "task_name",
    ),
    "extend": ("keys", "version", "has_token", "sorted_sets"),
    "save_details": ("keys", "version", "key_types", "has_token", "changes"),
    "next_due": ("keys", "version", "lowest_score", "limits", "limit_allowance"),
    "read": ("keys", "version", "find_state", "task_name"),
    "details": ("keys", "version", "key_types", "find_state"),
    "browse": ("keys", "version", "sequence", "blocks"),
    "count": ("keys", "version"),
    "ready_since": ("keys", "version", "sequence", "blocks", "lowest_score"),
    "list_groups": ("keys", "version", "key_types"),
    "list_members": ("keys", "version", "key_types"),
    "limits": ("keys", "version"),
    "remove_queue": ("keys", "version", "all_keys", "key_types", "entries"),
    "set_limit": ("keys", "version", "unused_keys", "wakeups", "limits"),
    "write_entry": (
        "keys",
        "version",
        "unused_keys",
        "all_keys",
        "key_types",
        "dedup",
        "entries",
    ),
    "due_entries": ("keys", "version", "entries"),
    "list_entries": ("keys", "version", "entries"),
    "count_entries": (),
    "announce": (),
    "withdraw": (),
    "statistics": (),
    "check_permissions": (),
}
"""The parts that each script uses itself."""

FAST_PATHS: Final[Mapping[str, str]] = {
    "enqueue": "enqueue_fast_path",
    "claim": "claim_fast_path",
    "transition": "transition_fast_path",
}
FAST_PATH_INCLUDES: Final[Mapping[str, Sequence[str]]] = {
    "enqueue_fast_path": (),
    "claim_fast_path": (),
    "transition_fast_path": ("keys", "statistics"),
}
"""The parts that each fast path uses: they stand in front of it."""

CALLED: Final[Mapping[str, Sequence[str]]] = {
    "settle_with_followups": ("transition", "enqueue"),
    "aggregate": ("enqueue",),
    "write_entry": ("enqueue",),
}
"""The scripts that a script calls as functions."""

_FOLDER: Final = files("qcore.adapters.redis") / "lua"


@cache
def lua(name: str) -> str:
    """Return the text of a file of the folder `lua`, the same object each time."""
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")


def assembled(name: str, *, with_fast_path: bool = True) -> Script:
    """Return a script; without its fast path, what stands behind that handles every request."""
    front = FAST_PATHS.get(name) if with_fast_path else None
    early = [] if front is None else _parts(FAST_PATH_INCLUDES[front])
    texts = [] if front is None else [*_fast_path(front)]
    for called in CALLED.get(name, ()):
        texts += [f"local function {called}(KEYS, ARGV)", *assembled(called).parts, "end\n"]
    texts += [_part(part) for part in _parts(INCLUDES[name]) if part not in early]
    return Script(*texts, lua(name))


def fast_path(name: str) -> str:
    """Return the text of a script's fast path, behind the parts that it uses."""
    return "\n".join(_fast_path(FAST_PATHS[name]))


def _fast_path(front: str) -> Iterator[str]:
    yield from map(_part, _parts(FAST_PATH_INCLUDES[front]))
    yield lua(front)


def _part(name: str) -> str:
    return lua(f"lib/{name}")


def _parts(included: Iterable[str]) -> list[str]:
    """Return these parts and those that they use, in the order in which they stand in a script."""
    needed = {part for each in included for part in _with_used(each)}
    return [part for part in LIBRARY if part in needed]


def _with_used(part: str) -> Iterator[str]:
    yield part
    for used in LIBRARY[part]:
        yield from _with_used(used)


SCRIPTS: Final[Mapping[str, Script]] = {name: assembled(name) for name in INCLUDES}
"""All scripts by name."""

AGGREGATE: Final = SCRIPTS["aggregate"]
ANNOUNCE: Final = SCRIPTS["announce"]
BROWSE: Final = SCRIPTS["browse"]
CHECK_PERMISSIONS: Final = SCRIPTS["check_permissions"]
CLAIM: Final = SCRIPTS["claim"]
COUNT: Final = SCRIPTS["count"]
COUNT_ENTRIES: Final = SCRIPTS["count_entries"]
DETAILS: Final = SCRIPTS["details"]
DUE_ENTRIES: Final = SCRIPTS["due_entries"]
ENQUEUE: Final = SCRIPTS["enqueue"]
EXTEND: Final = SCRIPTS["extend"]
LIMITS: Final = SCRIPTS["limits"]
LIST_ENTRIES: Final = SCRIPTS["list_entries"]
LIST_GROUPS: Final = SCRIPTS["list_groups"]
LIST_MEMBERS: Final = SCRIPTS["list_members"]
NEXT_DUE: Final = SCRIPTS["next_due"]
READ: Final = SCRIPTS["read"]
READY_SINCE: Final = SCRIPTS["ready_since"]
REMOVE_QUEUE: Final = SCRIPTS["remove_queue"]
RESTORE: Final = SCRIPTS["restore"]
SAVE_DETAILS: Final = SCRIPTS["save_details"]
SETTLE_WITH_FOLLOWUPS: Final = SCRIPTS["settle_with_followups"]
SET_LIMIT: Final = SCRIPTS["set_limit"]
STATISTICS: Final = SCRIPTS["statistics"]
SWEEP: Final = SCRIPTS["sweep"]
TRANSITION: Final = SCRIPTS["transition"]
WITHDRAW: Final = SCRIPTS["withdraw"]
WRITE_ENTRY: Final = SCRIPTS["write_entry"]
