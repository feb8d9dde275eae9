"""The inspector for code that blocks has every verb of the other, and does the same."""

import inspect
from pathlib import Path

from qcore import Inspector, Qcore, State
from qcore.answers import Moved
from qcore.queries import BlockingInspector
from qcore.testing import ManualClock, a_task


def verbs(kind: type) -> dict[str, inspect.Signature]:
    """Return what a caller may call, and how."""
    public = (name for name in dir(kind) if not name.startswith("_"))
    return {name: inspect.signature(getattr(kind, name)) for name in public}


def test_it_has_every_verb_with_the_same_parameters() -> None:
    """A verb that is added to one is added to the other."""
    awaiting, blocking = verbs(Inspector), verbs(BlockingInspector)
    assert awaiting.keys() == blocking.keys()
    for name, signature in blocking.items():
        assert signature.parameters == awaiting[name].parameters, name


def test_it_asks_and_moves_without_an_event_loop(tmp_path: Path) -> None:
    """It opens the store itself, and shares it with the blocking client."""
    q = Qcore(f"sqlite:///{tmp_path}/q.db", clock=ManualClock(), instruments=[])
    q.blocking.enqueue_many([a_task(id="a"), a_task(id="b", name="other")])
    inspector = q.blocking_inspector
    assert [task.id for task in inspector.tasks("name:other").tasks] == ["b"]
    assert inspector.archive("default", ["b"]) == [Moved(State.ARCHIVED)]
    assert inspector.totals() == {State.PENDING: 1, State.ARCHIVED: 1}
    assert inspector.pause("default").is_paused
    q.blocking.close()
