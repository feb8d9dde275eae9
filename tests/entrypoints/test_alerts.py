"""Alerts in virtual time: what is found, when it is told, and when it is over."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, Self

import msgspec
import pytest

from qcore import Context, NewTask, Qcore, SkipRetry
from qcore.alerts import (
    Alert,
    Archived,
    Dead,
    Finding,
    MissedTick,
    NoWorker,
    Rule,
    Store,
    TooFew,
    Waiting,
    send_alerts,
)
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.entrypoints.alerts.alert_state import MOST, Standings, decide
from qcore.entrypoints.alerts.delivery import Webhook
from qcore.entrypoints.last_results import KEPT
from qcore.errors import InvalidOption
from qcore.testing import ManualClock, ScriptedDice, drain

MINUTE = 60.0
HOUR = 3_600.0


class App:
    """A queue in virtual time whose alerts are kept."""

    def __init__(
        self, *rules: Rule, to: Callable[[Alert], Any] | str | None = None, **more: Any
    ) -> None:
        self.clock = ManualClock(1_800_000_000.0)
        self.q = Qcore("memory://", clock=self.clock, dice=ScriptedDice(*[0.5] * 50))
        self.told: list[Alert] = []
        options = {"environment": "staging"} | more
        send_alerts(self.q, to or self.told.append, rules=rules, **options)

        @self.q.task("mail", queue="mail", max_retry=0)
        async def mail(_: Context, fails: str = "") -> None:
            if fails == "for good":
                raise SkipRetry("no such address")
            if fails:
                raise TimeoutError("no answer")

        self.mail = mail

    async def pass_time(self, seconds: float) -> Sequence[Alert]:
        """Let time pass, running what is due in it; return what was told meanwhile."""
        before, end = len(self.told), self.clock.now() + seconds
        await drain(self.q, until=end)
        self.clock.advance_to(end)
        return self.told[before:]

    async def serve_alerts_alone(self, minutes: int, step: float = MINUTE) -> Sequence[Alert]:
        """Let time pass with a worker that serves no other queue."""
        before = len(self.told)
        scheduler = self.q.scheduler()
        for _ in range(int(minutes * MINUTE / step)):
            self.clock.advance(step)
            await scheduler.once()
            await self.q.worker(queues=["alerts"], burst=True, scheduler=False).run()
        scheduler.close()
        return self.told[before:]


def spoken(alerts: Sequence[Alert]) -> list[tuple[str, str, bool]]:
    """Return what alerts are about, and whether it is over."""
    return [(each.rule, each.queue, each.is_over) for each in alerts]


async def test_dead_tasks_are_told_once_and_when_it_is_over() -> None:
    """With the queue, the environment, the number and a command that shows them."""
    app = App(Dead(), Archived())
    assert not await app.pass_time(5 * MINUTE)
    await app.mail.enqueue("for good")
    alerts = await app.pass_time(15 * MINUTE)
    assert spoken(alerts) == [("dead", "mail", False), ("dead", "mail", True)]
    first, over = alerts
    assert first.environment == "staging"
    assert (first.value, first.bound) == (1, 0)
    assert first.text == "1 task of the queue mail died in the last 5 min."
    assert first.command == "qcore errors 'queue:mail state:dead'"
    assert over.text == f"Over: {first.text}"
    assert over.since == first.since < over.at


async def test_archived_tasks_are_told() -> None:
    """Those whose retries are spent; a bound lets some pass."""
    app = App(Archived(most=1))
    await app.mail.enqueue("once")
    assert not await app.pass_time(2 * MINUTE)
    await app.mail.enqueue("once")
    assert spoken(await app.pass_time(2 * MINUTE)) == [("archived", "mail", False)]


async def test_within_the_quiet_time_nothing_is_told_twice() -> None:
    """What comes again is told when the quiet time is over, if it still is so then."""
    app = App(Dead(within=timedelta(minutes=1)), quiet=timedelta(minutes=30))
    for _ in range(8):
        await app.mail.enqueue("for good")
        await app.pass_time(5 * MINUTE)
    firing = [each for each in app.told if not each.is_over]
    assert len(firing) == 2
    assert firing[1].at - firing[0].at >= 30 * MINUTE
    assert len(app.told) == 4


async def test_what_goes_on_is_told_again_after_the_quiet_time() -> None:
    """Since when it has been so is the same."""
    app = App(NoWorker(quiet=timedelta(minutes=10)))
    await app.q.client.enqueue(NewTask("x", id="1", queue="nobody"))
    alerts = await app.serve_alerts_alone(25)
    assert spoken(alerts) == [("no-worker", "nobody", False)] * 3
    assert len({each.since for each in alerts}) == 1
    assert alerts[0].text == "No worker serves the queue nobody: 1 task waits in it."


async def test_a_queue_that_waits_too_long_is_told() -> None:
    """Until its task is run; a paused one is not."""
    app = App(Waiting(most=timedelta(minutes=5)))
    await app.q.inspector.limit_rate("mail", "1/h")
    await app.mail.enqueue()
    await app.mail.enqueue()
    alerts = await app.pass_time(10 * MINUTE)
    assert spoken(alerts) == [("waiting", "mail", False)]
    assert alerts[0].bound == 300
    assert alerts[0].command == "qcore tasks 'queue:mail state:pending'"
    await app.q.inspector.pause("mail")
    assert spoken(await app.pass_time(2 * MINUTE)) == [("waiting", "mail", True)]


async def test_a_missed_tick_is_told() -> None:
    """Of one that came too late, and of those left out; not of the checks themselves."""
    app = App(MissedTick())
    app.q.every(timedelta(minutes=10), name="sync")(app.mail)
    assert not await app.pass_time(30 * MINUTE)
    # nobody is there for three hours
    app.clock.advance(3 * HOUR + 25)
    [alert] = await app.pass_time(5 * MINUTE)
    assert (alert.rule, alert.queue, alert.subject) == ("missed-tick", "mail", "sync")
    assert alert.command == "qcore periodic show sync --queue mail"
    assert spoken(await app.pass_time(2 * HOUR)) == [("missed-tick", "mail", True)]


async def test_too_few_tasks_are_told() -> None:
    """Not before it has looked for so long; over when they come again."""
    app = App(TooFew(["mail"], least=2, within=timedelta(hours=1)))
    await app.mail.enqueue()
    assert not await app.pass_time(59 * MINUTE)
    assert spoken(await app.pass_time(10 * MINUTE)) == [("too-few", "mail", False)]
    await app.mail.enqueue()
    await app.mail.enqueue()
    assert spoken(await app.pass_time(2 * MINUTE)) == [("too-few", "mail", True)]


async def test_an_alert_that_cannot_be_told_is_retried() -> None:
    """It is a task, so that it comes when the receiver is there again."""
    heard: list[Alert] = []
    failures = iter([True] * 3)

    async def receive(alert: Alert) -> None:
        if next(failures, False):
            raise ConnectionError("away")
        heard.append(alert)

    app = App(Dead(), to=receive)
    await app.mail.enqueue("for good")
    await app.pass_time(4 * MINUTE)
    assert spoken(heard) == [("dead", "mail", False)]


async def test_of_their_own_queue_nothing_is_told() -> None:
    """Alerts that are given up would make alerts for ever."""

    def refuse(_: Alert) -> None:
        raise SkipRetry("wrong address")

    app = App(Dead(), Archived(), Waiting(), NoWorker(), to=refuse)
    await app.mail.enqueue("for good")
    await app.pass_time(15 * MINUTE)
    sends = await app.q.inspector.failures("queue:alerts")
    assert sum(each.count for each in sends.groups) == 2


async def test_what_was_told_is_remembered_by_the_store() -> None:
    """Another process goes on with it: it tells nothing twice, and that it is over."""
    app = App(Dead())
    await app.mail.enqueue("for good")
    assert len(await app.pass_time(2 * MINUTE)) == 1
    other = App(Dead())
    with other.q.swapped(broker=app.q.broker, clock=app.clock):
        await drain(other.q, until=app.clock.now() + 10 * MINUTE)
    assert spoken(other.told) == [("dead", "mail", True)]


async def test_what_goes_on_for_days_is_one_alert() -> None:
    """It is told in each quiet time, since the same moment, until it is over."""
    app = App(NoWorker(), quiet=timedelta(hours=8), every=timedelta(minutes=30))
    [waiting] = await app.q.client.enqueue_many([NewTask("x", id="1", queue="nobody")])
    alerts = await app.serve_alerts_alone(3 * 24 * 60, step=30 * MINUTE)
    assert spoken(alerts) == [("no-worker", "nobody", False)] * 9
    assert len({each.since for each in alerts}) == 1
    await app.q.inspector.delete("nobody", [waiting.id])
    [over] = await app.serve_alerts_alone(60, step=30 * MINUTE)
    assert over.is_over
    assert over.since == alerts[0].since


async def test_what_is_over_is_told_after_a_week_in_which_nobody_looked() -> None:
    """Who was woken by an alert is told that it has passed, whatever became of the workers."""
    app = App(Dead())
    await app.mail.enqueue("for good")
    assert spoken(await app.pass_time(2 * MINUTE)) == [("dead", "mail", False)]
    app.clock.advance(7 * 24 * HOUR)
    assert spoken(await app.pass_time(2 * MINUTE)) == [("dead", "mail", True)]


async def test_few_checks_are_kept() -> None:
    """Each has all that is wrong, so that a month of them would be large."""
    app = App(Dead())
    await app.pass_time(60 * MINUTE)
    counts = await app.q.inspector.counts()
    assert counts["alerts"][State.COMPLETED] <= KEPT + 1


async def test_a_rule_that_cannot_be_checked_does_not_silence_the_others() -> None:
    """What was found by it stays as it was."""

    @record
    class Odd:
        name: str = "odd"
        queues: None = None
        quiet: None = None

        async def find(self, store: Store) -> Sequence[Finding]:
            raise ValueError("odd")

    app = App(Odd(), Dead())
    await app.mail.enqueue("for good")
    assert spoken(await app.pass_time(2 * MINUTE)) == [("dead", "mail", False)]


async def test_a_rule_looks_at_its_queues_alone() -> None:
    """Two of a kind with names of their own share the queues."""
    app = App(Dead(queues=["other"]), Dead(queues=["mail"], name="dead-mail"))
    await app.mail.enqueue("for good")
    assert spoken(await app.pass_time(2 * MINUTE)) == [("dead-mail", "mail", False)]


def test_more_than_can_follow_a_check_is_told_by_the_next() -> None:
    """Nothing of it is lost."""
    found = {("r", f"q{n}", ""): Finding(f"q{n}", "…", 1, 0) for n in range(MOST + 5)}
    usual: dict[str, Any] = {"quiet": {"r": 60.0}, "unknown": (), "environment": "e"}
    after, first = decide(Standings(0.0), found, now=1.0, **usual)
    after, second = decide(after, found, now=2.0, **usual)
    _, third = decide(after, found, now=3.0, **usual)
    assert [len(first), len(second), len(third)] == [MOST, 5, 0]
    assert {each.queue for each in (*first, *second)} == {f"q{n}" for n in range(MOST + 5)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: App(Dead(), Dead()), "two rules have the name 'dead'"),
        (lambda: App(Dead(), environment=""), "environment is ''"),
        (lambda: App(Dead(), every=timedelta(hours=1)), "every is 3600 s: expected at most"),
        (lambda: App(to="ftp://x"), "the URL of alerts cannot be used"),
        (lambda: App(to="http://h:port/secret"), "the URL of alerts cannot be used"),
        (lambda: Dead(within=5), "within is 5: expected a minute to three hours"),
        (lambda: Dead(queues="mail"), "queues is 'mail': expected a list"),
        (lambda: TooFew([]), "TooFew has no queues"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    """Where it is written, with what was expected, and without the secrets of a URL."""
    with pytest.raises(InvalidOption, match=message) as raised:
        make()
    assert "secret" not in str(raised.value)


class Receiver:
    """An endpoint that answers as it is told to, and keeps what it gets."""

    def __init__(self, *statuses: int) -> None:
        self.got: list[tuple[str, dict[str, str], Any]] = []
        answers = iter(statuses)
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append((self.path, dict(self.headers), msgspec.json.decode(body)))
                self.send_response(next(answers, 204))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


async def test_a_url_is_sent_json_and_again_after_a_failure_of_its_server() -> None:
    """A user in it is sent as basic authentication."""
    with Receiver(503) as receiver:
        app = App(Dead(), to=f"http://ann:pw@127.0.0.1:{receiver.port}/hook/secret")
        await app.mail.enqueue("for good")
        await app.pass_time(2 * MINUTE)
    [first, second] = receiver.got
    assert first[2] == second[2]
    path, headers, body = second
    assert path == "/hook/secret"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic YW5uOnB3"
    assert {key: body[key] for key in ("version", "rule", "queue", "environment", "is_over")} == {
        "version": 1,
        "rule": "dead",
        "queue": "mail",
        "environment": "staging",
        "is_over": False,
    }
    assert body["since"].startswith("2027-01-15T08:")


@pytest.mark.parametrize("status", [400, 404, 410, 302])
async def test_an_alert_that_is_refused_is_given_up(status: int) -> None:
    """Its error names the server, and no path, in which there may be a secret."""
    with Receiver(status) as receiver:
        app = App(Dead(), to=f"http://127.0.0.1:{receiver.port}/hook/secret")
        await app.mail.enqueue("for good")
        await app.pass_time(3 * MINUTE)
    assert len(receiver.got) == 1
    [task] = (await app.q.inspector.tasks("queue:alerts state:dead")).tasks
    assert f"http://127.0.0.1:{receiver.port} has answered {status}" in (task.error or "")
    details = await app.q.inspector.details("alerts", task.id)
    assert "secret" not in str(details)


def test_a_server_that_is_away_is_named_without_secrets() -> None:
    """What the operating system says of it is told too."""
    with Receiver() as receiver:
        port = receiver.port
    webhook = Webhook(f"http://ann:pw@127.0.0.1:{port}/hook/secret")
    alert = Alert("dead", "mail", "e", 0.0, 0.0, is_over=False, text="…", value=1, bound=0)
    with pytest.raises(ConnectionError) as raised:
        webhook(alert)
    said = f"{raised.value} {raised.value.__cause__} {raised.value.__context__} {webhook}"
    assert f"http://127.0.0.1:{port} cannot be reached: Connection refused" in said
    assert "secret" not in said
    assert "pw" not in said
