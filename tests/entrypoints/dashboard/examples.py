"""With which parameters each route is asked for, where it needs any, on the hostile store.

A route that is not named here is asked for without parameters. A page for which there is nothing to
say yet, whatever the parameters, has no place here.
"""

from collections.abc import Mapping
from typing import Final

from qcore.domain.states import State
from tests.entrypoints.dashboard.hostile import FINGERPRINT, QUEUE, WORD, id_of

TASK: Final = {"queue": QUEUE, "id": id_of(State.RETRY)}
ENTRY: Final = {"queue": QUEUE, "name": WORD[:200]}
GROUP: Final = {"queue": QUEUE, "name": WORD}

PARAMETERS: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("GET", "queue"): {"queue": QUEUE},
    # without an end it would be read for ever
    ("GET", "live"): {"queue": QUEUE, "most": "1"},
    ("GET", "task"): TASK,
    ("POST", "task-move"): {**TASK, "verb": "run"},
    ("POST", "task-delete"): {**TASK, "verb": "delete", "confirm": "yes"},
    ("POST", "errors-retry"): {"fingerprint": FINGERPRINT, "confirm": "yes"},
    ("POST", "errors-discard"): {"fingerprint": FINGERPRINT, "confirm": "yes", "number": "100"},
    ("GET", "group"): GROUP,
    ("POST", "group-aggregate"): GROUP,
    ("POST", "group-move"): {**GROUP, "verb": "run", "confirm": "yes"},
    ("GET", "periodic-entry"): ENTRY,
    ("POST", "periodic-move"): {**ENTRY, "verb": "pause"},
    ("GET", "task-edit"): TASK,
    ("POST", "task-edit"): {**TASK, "seen": "another", "priority": "7"},
    ("POST", "task-again"): {"queue": QUEUE, "id": id_of(State.DEAD)},
    ("POST", "bulk"): {"verb": "run", "which": "all", "state": "dead", "queue": QUEUE},
    ("POST", "bulk-delete"): {"verb": "delete", "which": "all", "state": "dead", "queue": QUEUE},
    ("POST", "bulk-edit"): {"verb": "update", "which": "all", "state": "dead", "queue": QUEUE},
    ("GET", "job"): {"id": "0"},
    ("POST", "job-stop"): {"id": "0"},
    ("POST", "job-delete-stop"): {"id": "0"},
    ("POST", "job-edit-stop"): {"id": "0"},
    ("POST", "job-undo"): {"id": "0"},
    ("POST", "queue-pause"): {"queue": QUEUE, "to": "resume"},
    ("POST", "queue-limit"): {"queue": QUEUE, "rate": "100/min", "in_flight": "3"},
    ("POST", "queue-remove"): {"queue": QUEUE, "confirm": "yes"},
    ("POST", "preferences"): {"theme": "dark", "zone": "Europe/Berlin"},
}
"""By method and name."""

ALSO: Final = (
    *(("GET", "task", {"queue": QUEUE, "id": id_of(state)}) for state in State),
    *(("GET", "queue", {"queue": QUEUE, "state": state}) for state in State),
    ("GET", "tasks", {"q": "state:retry,dead"}),
    ("GET", "", {"name": "a"}),
    *(
        ("POST", "task-move", {**TASK, "verb": verb})
        for verb in ("discard", "cancel", "bring-back", "move")
    ),
    ("POST", "bulk", {"verb": "move", "which": "all", "state": "dead", "queue": QUEUE}),
    ("GET", "", {"span": "90d"}),
    ("GET", "queue", {"queue": QUEUE, "span": "3h"}),
    ("GET", "errors", {"q": "state:dead"}),
    ("POST", "errors-retry", {"fingerprint": FINGERPRINT}),
    ("POST", "errors-discard", {"fingerprint": FINGERPRINT}),
    ("GET", "workers", {"name": "a"}),
    ("GET", "groups", {"queue": QUEUE}),
    ("GET", "chains", {"state": "open"}),
    ("GET", "chains", {"state": "all", "q": "state:dead"}),
    *(("POST", "group-move", {**GROUP, "verb": verb}) for verb in ("run", "discard")),
    ("GET", "periodic", {"name": "a", "status": "active"}),
    ("GET", "periodic-entry", {"queue": QUEUE, "name": "unreadable"}),
    *(("POST", "periodic-move", {**ENTRY, "verb": verb}) for verb in ("run", "remove")),
    ("POST", "task-delete", {**TASK, "verb": "delete"}),
    ("POST", "queue-remove", {"queue": QUEUE}),
)
"""Further ones: other states of a page, and pages that ask before they do something."""
