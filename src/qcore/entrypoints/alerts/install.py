"""`send_alerts`: have a queue look for what is wrong with it, and tell it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Final

from attrs import field

from qcore.app.calls.introspection import unwraps_to
from qcore.app.tasks.context import Context
from qcore.domain.backoff import exponential, fixed
from qcore.domain.errors import BrokerUnavailable, InvalidOption
from qcore.domain.moments import Duration, seconds_of
from qcore.domain.record import record
from qcore.domain.retry import described
from qcore.domain.text import shown
from qcore.entrypoints.alerts.alert import Alert, Finding
from qcore.entrypoints.alerts.alert_state import Key, Standings, decide, from_text, key_of, to_text
from qcore.entrypoints.alerts.delivery import TIMEOUT, receiver_of
from qcore.entrypoints.alerts.rules import DEFAULT_RULES, Rule, Store, TooFew, names_of
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.last_results import LastResults

CHECK: Final = "qcore-alerts:check"
"""The periodic task that looks; its result is what the next one goes on with."""
SEND: Final = "qcore-alerts:send"
"""The task that tells one alert."""
QUEUE: Final = "alerts"
ATTEMPTS: Final = 12
"""Retries of an alert: over some hours, as a receiver may be away as long."""
FIRST_RETRY: Final = timedelta(seconds=5)
LAST_RETRY: Final = timedelta(minutes=30)
KEPT: Final = timedelta(days=30)
"""For how long what was told is remembered when no check can be made."""
CHECK_TIMEOUT: Final = timedelta(minutes=1)


@record
class Watch:
    """What is looked for, and where."""

    q: Qcore
    rules: Mapping[str, Rule] = field(hash=False)
    """By name."""
    environment: str
    queue: str
    """The one of the checks and alerts, of which no rule tells."""
    quiet: Mapping[str, float] = field(hash=False)
    """Seconds, by the name of the rule."""

    async def check(self, ctx: Context, send: Callable[[Alert], object]) -> str:
        """Look once; return what the next check goes on with."""
        now = self.q.clock.now()
        results = LastResults(self.q.inspector, self.q.client, self.queue, CHECK)
        last = await results.last()
        before = Standings(now) if last is None else from_text(last)
        found: dict[Key, Finding] = {}
        unknown: set[str] = set()
        for rule in self.rules.values():
            if isinstance(rule, TooFew) and now - before.began < seconds_of(rule.within, "within"):
                continue
            try:
                found |= await self._found(rule)
            except BrokerUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  (one rule is not to silence the others)
                ctx.log.warning("a rule cannot be checked", rule=rule.name, error=described(error))
                unknown.add(rule.name)
        after, alerts = decide(
            before,
            found,
            quiet=self.quiet,
            unknown=unknown,
            environment=self.environment,
            now=now,
        )
        for alert in alerts:
            send(alert)
        await results.trim(now)
        return to_text(after)

    async def _found(self, rule: Rule) -> dict[Key, Finding]:
        store: Store = self.q
        return {
            key_of(rule.name, each): each
            for each in await rule.find(store)
            if each.queue != self.queue and (rule.queues is None or each.queue in rule.queues)
        }


def send_alerts(
    q: Qcore,
    to: str | Callable[[Alert], Any],
    *,
    environment: str,
    rules: Sequence[Rule] = DEFAULT_RULES,
    quiet: Duration = timedelta(hours=1),
    every: Duration = timedelta(minutes=1),
    queue: str = QUEUE,
) -> None:
    """Look for what is wrong with a queue again and again, and tell it to a URL or a function.

    Call it once, where the queue is made. A periodic task looks, and each alert is a task that is
    retried, both in `queue`, of which nothing is told. `to` is called with an `Alert`; a coroutine
    function is awaited, a plain one runs in a thread. A URL is sent a POST with JSON. The same is
    told once in `quiet`, which each rule may have for itself; that it is over is told at once.
    `environment` is said in each alert. Raises `InvalidOption` for what makes no sense.
    """
    receiver = receiver_of(to)
    if not environment:
        raise InvalidOption(f"environment is {shown(environment)}: expected a name")
    by_name = names_of(rules)
    interval = seconds_of(every, "every", InvalidOption)
    for rule in rules:
        _refuse_gaps(rule, interval)
    usual = seconds_of(quiet, "quiet", InvalidOption)
    watch = Watch(
        q,
        by_name,
        environment,
        queue,
        {
            name: usual if rule.quiet is None else seconds_of(rule.quiet, "quiet", InvalidOption)
            for name, rule in by_name.items()
        },
    )

    deliver = q.task(
        SEND,
        queue=queue,
        max_retry=ATTEMPTS,
        retry=exponential(FIRST_RETRY, cap=LAST_RETRY),
        timeout=4 * TIMEOUT,
    )(_handler(receiver))

    @q.every(every, overlap="skip", name=CHECK)
    @q.task(CHECK, queue=queue, retention=KEPT, retry=fixed(every), timeout=CHECK_TIMEOUT)
    async def check(ctx: Context) -> str:
        return await watch.check(ctx, lambda alert: ctx.then(deliver.call(alert)))

    check.is_heard = False


def _refuse_gaps(rule: Rule, every: float) -> None:
    """Refuse a rule that would not see what happens between two checks."""
    given = getattr(rule, "within", None)
    if given is None:
        return
    within = seconds_of(given, "within", InvalidOption)
    if within < every:
        raise InvalidOption(
            f"every is {every:g} s: expected at most the {within:g} s within which the rule "
            f"{rule.name!r} looks"
        )


def _handler(receiver: Callable[[Alert], Any]) -> Callable[..., Any]:
    """Return a handler that calls a receiver: a coroutine function where that is one."""
    if unwraps_to(iscoroutinefunction, receiver):

        async def tell(_: Context, alert: Alert) -> None:
            await receiver(alert)

        return tell

    def tell_from_thread(_: Context, alert: Alert) -> None:
        receiver(alert)

    return tell_from_thread
