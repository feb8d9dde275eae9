"""Tasks as they are stored."""

from collections.abc import Sequence

from qcore.adapters.redis.entry import Entry
from qcore.adapters.redis.keys import STATE_OF
from qcore.adapters.redis.names import Name, name_of
from qcore.adapters.redis.scripts import LOOK
from qcore.adapters.redis.store import Store, bites
from qcore.domain.lifecycle import State
from qcore.domain.new_task import TaskId
from qcore.domain.record import record


@record
class Sighting:
    """What is stored of a task, and where."""

    name: Name
    state: State
    value: bytes
    progress: bytes | None
    score: bytes

    def is_held(self, token: int) -> bool:
        """Return whether it is active under a token."""
        return self.state is State.ACTIVE and self.entry().token == token

    def entry(self) -> Entry:
        """Return it as something to move."""
        return Entry(self.name, self.state, self.value, self.progress, self.score)


async def seen(
    store: Store, queue: str, ids: Sequence[TaskId], *, whole: bool = False
) -> list[Sighting | None]:
    """Look at tasks of one queue, with what was asked for if `whole`; None where there is none."""
    names = [name_of(task) for task in ids]
    asked = [([queue], [int(whole), *bite]) for bite in bites(names)]
    rows = [item for reply in await store.look(LOOK, asked) for item in reply]
    parts = zip(names, rows[::4], rows[1::4], rows[2::4], rows[3::4], strict=True)
    return [
        None if value is None else Sighting(name, STATE_OF[state], value, progress, score)
        for name, value, progress, state, score in parts
    ]
