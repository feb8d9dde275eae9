"""A store that has hostile text in every field that takes text, and secrets that are masked."""

import json
from base64 import b64encode
from typing import Final

from qcore import Qcore
from qcore.app.calls.chain_steps import CHAIN_HEADER, STEP_HEADER
from qcore.domain.answers import Settled
from qcore.domain.audit import attributed
from qcore.domain.fingerprints import common_part, fingerprint
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.editing import added
from qcore.domain.queue_limits import Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.task import Demand, Verdict
from qcore.domain.transitions import Exhausted, Failed, Rejected, Succeeded, Transition, Updated
from qcore.domain.workers import RunningTask
from qcore.entrypoints.dashboard.masking import MASKED
from qcore.ports import limiting_of, worker_registry_of
from qcore.testing.builders import NOW, a_worker
from qcore.testing.entries import MINUTELY, an_entry, write

CANARY: Final = "canary-7f3a"
WORD: Final = (
    f"'\"/><{CANARY}/onmouseover=alert(1)><script>alert(1)</script><img/src=x/onerror=alert(2)>"
    "&lt;b&gt;--></textarea></title></style>"
)
"""Hostile text that is also a name: no blanks, no braces, no commas."""
TEXT: Final = f"{WORD} {{{{7*7}}}} {{% raw %}} javascript:alert(3) \u202e\u200b ${{1}}"
"""Hostile text of several words."""
LINES: Final = f"{TEXT}\n\t</pre>{WORD}\x00\x1b[31m"
QUEUE: Final = WORD[:120]
OTHER: Final = "plain"
SECRET: Final = "planted-s3cr3t-value"
STATES: Final = (
    State.SCHEDULED,
    State.AGGREGATING,
    State.ACTIVE,
    State.RETRY,
    State.COMPLETED,
    State.ARCHIVED,
    State.DEAD,
    # the last one: each claim takes what is pending
    State.PENDING,
)

NAME: Final = TEXT.replace("\u202e\u200b", "")[:250]
ARGUMENTS: Final = {
    WORD: TEXT,
    "list": [TEXT, {WORD: WORD}],
    "password": SECRET,
    "nested": [{"deep": {"Api-Key": SECRET, "tokens": [SECRET]}}],
    "big": 2**80,
    "url": f"https://user:{SECRET}@example.com/{WORD}",
}


FINGERPRINT: Final = fingerprint(NAME, common_part(f"{LINES} {MASKED}"))
"""Of the group of those that have failed, as it is seen."""


def id_of(state: State) -> str:
    """Return the id of the task in a state."""
    return f"{state}-{WORD}"[:200]


_STEP: Final = {"task": {"name": NAME}, "arguments": ARGUMENTS, "takes": None, "unique": False}
_LATER: Final = [{**_STEP, "task": {"name": NAME, "queue": queue}} for queue in (QUEUE, OTHER)]
HOSTILE_CHAIN: Final = {
    STEP_HEADER: "2/4",
    CHAIN_HEADER: f"application/json {b64encode(json.dumps({'steps': _LATER}).encode()).decode()}",
}
"""The headers of a step that two others follow."""


def a_hostile_task(state: State, queue: str = QUEUE) -> NewTask:
    """Return a task that asks for all that may be asked for."""
    return NewTask(
        name=NAME,
        id=id_of(state),
        queue=queue,
        payload=json.dumps(ARGUMENTS).encode(),
        due=NOW + 3_600 if state is State.SCHEDULED else None,
        group=WORD if state is State.AGGREGATING else None,
        headers={
            WORD: TEXT,
            "authorization": f"Bearer {SECRET}",
            "x": f"see {SECRET}",
            **(HOSTILE_CHAIN if state is State.DEAD else {}),
        },
        unique_key=f"{SECRET}{state}{WORD}"[:200],
        retention=3_600.0,
        tags=(f"<{CANARY}/x=1>", "\"'><b>", SECRET),
        expires=NOW + 7_200,
        deadline=NOW + 7_200,
        backoff=WORD[:200],
    )


async def fill(q: Qcore, queue: str = QUEUE) -> None:
    """Put a hostile task in each state, and a hostile worker, entry and limits beside them."""
    broker = q.broker
    await broker.open()
    for state in STATES:
        await broker.enqueue([a_hostile_task(state, queue)], now=NOW)
        await _move(q, queue, state)
    registry, limiting = worker_registry_of(broker), limiting_of(broker)
    assert registry is not None
    assert limiting is not None
    await registry.announce(
        a_worker(
            id=WORD,
            name=TEXT,
            host=TEXT,
            version=TEXT,
            app_version=TEXT,
            queues={queue: 1},
            handlers=(WORD,),
            running=(RunningTask(queue, id_of(State.ACTIVE), TEXT, NOW),),
            loop_lag=5.0,
        )
    )
    entry = an_entry(WORD[:200], queue=queue, task={"name": WORD})
    unreadable = an_entry("unreadable", queue=queue, schedule=WORD, task={"name": WORD})
    for each in (entry, unreadable):
        await write(broker, added(None, each, MINUTELY, NOW))
    # by an operator who is hostile, too
    order = attributed(Updated({"priority": 3}), TEXT, f"{TEXT} {SECRET}")
    await broker.execute(queue, [id_of(State.RETRY)], order, now=NOW)
    for change in (SetRate(Rate(5)), SetInFlight(1), SetPaused(is_paused=True)):
        await limiting.set_limit(queue, change, now=NOW)


async def _move(q: Qcore, queue: str, state: State) -> None:
    """Bring the task of a state, the only pending one, to that state."""
    broker = q.broker
    if state in {State.PENDING, State.SCHEDULED, State.AGGREGATING}:
        return
    [claim] = await broker.claim(Demand(1, {queue: 1}), now=NOW, until=NOW + 30)
    lease = claim.lease
    error = f"{LINES} {SECRET}"
    await broker.save_details([DetailsUpdate(lease, Progress(NOW, 0.5, f"{TEXT[:300]} {SECRET}"))])
    outcome: Transition
    match state:
        case State.RETRY:
            outcome = Failed(error, NOW + 60, worker=TEXT, version=TEXT, traceback=error)
        case State.COMPLETED:
            outcome = Succeeded(json.dumps(ARGUMENTS).encode(), "application/json")
        case State.ARCHIVED:
            outcome = Exhausted(error, worker=TEXT, version=TEXT, traceback=error)
        case State.DEAD:
            outcome = Rejected(error, worker=TEXT, version=TEXT, traceback=error)
        case _:
            return
    [answer] = await broker.settle([Verdict(lease, outcome, 1.0, 1.0)], now=NOW)
    assert isinstance(answer, Settled)
