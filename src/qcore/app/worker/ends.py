"""Add to verdicts the tasks that tell end hooks of them, to be enqueued in the same step."""

from functools import lru_cache

from attrs import evolve

from qcore.app.calls.user_code import log_failure
from qcore.app.client.client import Client
from qcore.app.tasks.ends import Ended, EndHook, ended
from qcore.app.tasks.router_tree import RouterNode
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.origin import following
from qcore.domain.states import State
from qcore.domain.task import Claim, Task
from qcore.domain.transitions import Exhausted, Rejected, Succeeded, Transition
from qcore.ports import Clock


class EndTasks:
    """Make the tasks that call end hooks."""

    def __init__(self, node: RouterNode, client: Client, clock: Clock) -> None:
        # of names, of which there may be many: each verdict asks
        self._hooks = lru_cache(maxsize=4096)(node.end_hooks_of)
        self._client = client
        self._clock = clock

    def with_ends(self, claim: Claim, verdict: Transition) -> Transition:
        """Return a verdict with what tells of it: of a success, and of what nothing retries."""
        if not self._hooks(claim.task.spec.name):
            return verdict
        match verdict:
            case Succeeded():
                state, error = State.COMPLETED, None
            case Exhausted():
                state, error = State.ARCHIVED, verdict.error
            case Rejected():
                state, error = State.DEAD, verdict.error
            case _:
                return verdict
        now = self._clock.now()
        made = self.of(ended(claim.task, state, now, error), claim.task, now)
        return evolve(verdict, then=(*verdict.then, *made)) if made else verdict

    def of(self, end: Ended, task: Task, now: Moment) -> list[NewTask]:
        """Return the tasks that tell of an end."""
        made: list[NewTask] = []
        for hook in self._hooks(end.name):
            if end.state in hook.states:
                made += self._tried(hook, end, task, now)
        return made

    def _tried(self, hook: EndHook, end: Ended, task: Task, now: Moment) -> list[NewTask]:
        """Return the task of one hook; none, and a line in the log, where it cannot be made."""
        try:
            return [following(self._client.build(hook.call(end), now), task.spec)]
        except InvalidTask as error:
            log_failure(error, "end hook not called", hook.handler.function, task_id=end.id)
            return []
