"""The bank of `examples/bank`, without a server: memory, virtual time, an SQLite in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from smtplib import SMTPRecipientsRefused
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import StaticPool

from examples.bank import tasks, wiring
from examples.bank.api import create_app
from examples.bank.database import SignUps, Store
from examples.bank.distributor import QcoreTaskDistributor
from examples.bank.mail import MailRefused, SmtpMailer
from examples.bank.periods import day_before, month_before
from examples.bank.settings import Settings
from qcore import BrokerUnavailable, InvalidOption, Qcore, State
from qcore.brokers import MemoryBroker
from qcore.testing import FaultyBroker, ManualClock, assert_enqueued, drain

ANN = {"username": "ann", "full_name": "Ann Example", "email": "ann@example.com"}
DAY = 86_400.0


class Outbox:
    """A mailer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.refuses = False

    def send(self, message: EmailMessage) -> None:
        if self.refuses:
            raise MailRefused("550 no such mailbox")
        self.messages.append(message)

    @property
    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.messages]


class NoDistributor:
    """A distributor whose queue is away."""

    def send_verify_email(self, username: str) -> None:
        raise BrokerUnavailable("the queue is away")

    send_verify_email_again = send_verify_email


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock at noon, on the first of March."""
    return ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())


@pytest.fixture
def broker() -> FaultyBroker:
    """Return a broker that can be told to be away."""
    return FaultyBroker(MemoryBroker())


@pytest.fixture
def q(clock: ManualClock, broker: FaultyBroker) -> Iterator[Qcore]:
    """Return the bank's queue, in memory."""
    with tasks.q.swapped(broker=broker, clock=clock) as q:
        yield q


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Return a database in memory: one connection, which all threads share."""
    arguments = {"check_same_thread": False}
    engine = create_engine("sqlite://", connect_args=arguments, poolclass=StaticPool)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the store of API and worker alike. A worker that ends does not close it."""
    store = Store(engine)
    store.create_tables()
    monkeypatch.setattr(store, "close", lambda: None)
    monkeypatch.setattr(wiring, "store", lambda: store)
    return store


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """Return what the worker sends e-mails by."""
    outbox = Outbox()
    monkeypatch.setattr(wiring, "mailer", lambda: outbox)
    return outbox


@pytest.fixture
async def api(
    q: Qcore, store: Store, outbox: Outbox, clock: ManualClock
) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the API, without a socket in between."""
    app = create_app(store, QcoreTaskDistributor(), now=clock.now)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bank") as client:
        yield client


# --- the API ------------------------------------------------------------------------------------


async def test_a_user_is_created_and_the_email_is_left_to_a_task(
    api: httpx.AsyncClient, q: Qcore, outbox: Outbox, clock: ManualClock
) -> None:
    """The answer waits for no mail server; the task waits in the queue of what is urgent."""
    answer = await api.post("/users", json=ANN)

    assert answer.status_code == 201
    assert answer.json() == ANN | {"created_at": clock.now(), "is_verified": False}
    task = assert_enqueued(tasks.send_verify_email, username="ann")
    assert (task.queue, task.spec.max_retry) == ("critical", 10)
    assert outbox.messages == []


async def test_the_link_of_the_email_verifies_the_user(
    api: httpx.AsyncClient, q: Qcore, outbox: Outbox
) -> None:
    """From the form to the verified address, through the real worker."""
    await api.post("/users", json=ANN)
    assert await drain(q) == 1

    [message] = outbox.messages
    assert message["To"] == "Ann Example <ann@example.com>"
    [link] = [line.strip() for line in message.get_content().splitlines() if "http" in line]
    parts = urlsplit(link)
    assert (await api.get(parts.path, params=dict(parse_qsl(parts.query)))).status_code == 200
    assert (await api.get("/users/ann")).json()["is_verified"] is True


async def test_a_code_of_somebody_else_verifies_nobody(api: httpx.AsyncClient) -> None:
    """Nor does one that was made up."""
    await api.post("/users", json=ANN)
    answer = await api.get("/verify-email", params={"username": "ann", "code": "guessed"})
    assert answer.status_code == 404
    assert (await api.get("/users/ann")).json()["is_verified"] is False


async def test_an_email_that_was_lost_can_be_asked_for_again(
    api: httpx.AsyncClient, q: Qcore, outbox: Outbox
) -> None:
    """Three clicks are one e-mail, and a later one is another."""
    await api.post("/users", json=ANN)
    await drain(q)
    for _click in range(3):
        assert (await api.post("/users/ann/verify-email")).status_code == 202
    await drain(q)
    assert len(outbox.messages) == 2

    await api.post("/users/ann/verify-email")
    await drain(q)
    assert len(outbox.messages) == 3
    assert (await api.post("/users/bob/verify-email")).status_code == 404


@pytest.mark.parametrize("same", ["username", "email"])
async def test_a_name_or_an_address_that_is_taken_is_refused(
    api: httpx.AsyncClient, q: Qcore, same: str
) -> None:
    """With nothing enqueued for the second user."""
    await api.post("/users", json=ANN)
    other = {"username": "bob", "full_name": "Bob", "email": "bob@example.com"}
    answer = await api.post("/users", json=other | {same: ANN[same]})
    assert answer.status_code == 409
    assert await drain(q) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("username", "no spaces"), ("email", "nobody"), ("full_name", "Ann\nBcc: bob@example.com")],
)
async def test_a_form_that_makes_no_sense_is_refused(
    api: httpx.AsyncClient, field: str, value: str
) -> None:
    """Before anything is stored, and the answer names the field."""
    answer = await api.post("/users", json=ANN | {field: value})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", field]


async def test_while_the_queue_is_away_there_is_no_user(
    api: httpx.AsyncClient, q: Qcore, broker: FaultyBroker, outbox: Outbox
) -> None:
    """And so no user without an e-mail; whoever tries again finds the name free."""
    with broker.down():
        assert (await api.post("/users", json=ANN)).status_code == 503
    assert (await api.get("/users/ann")).status_code == 404

    assert (await api.post("/users", json=ANN)).status_code == 201
    await drain(q)
    assert outbox.subjects == ["Please verify your e-mail address"]


async def test_while_the_database_is_away_who_asks_is_told_to_try_again(
    api: httpx.AsyncClient, q: Qcore, engine: Engine
) -> None:
    """And nothing was enqueued."""
    rename(engine, "users", "elsewhere")
    answer = await api.post("/users", json=ANN)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert await drain(q) == 0


async def test_any_distributor_will_do(store: Store) -> None:
    """The API knows a protocol: here is one whose queue is always away."""
    transport = httpx.ASGITransport(create_app(store, NoDistributor()))
    async with httpx.AsyncClient(transport=transport, base_url="http://bank") as client:
        assert (await client.post("/users", json=ANN)).status_code == 503
        assert (await client.get("/health")).status_code == 200
    assert store.user("ann") is None


# --- the verification e-mail --------------------------------------------------------------------


async def test_a_user_who_is_gone_is_not_tried_again(
    q: Qcore, store: Store, outbox: Outbox
) -> None:
    """The task is dead after one run, and says why."""
    handle = await tasks.send_verify_email.enqueue(username="nobody")
    assert await drain(q) == 1
    task = await handle.task()
    assert task is not None
    assert (task.state, task.error) == (State.DEAD, "there is no user 'nobody'")


async def test_a_database_that_is_away_is_tried_again(
    api: httpx.AsyncClient, q: Qcore, engine: Engine, clock: ManualClock, outbox: Outbox
) -> None:
    """By a real error of the real database: its table is not there for a minute."""
    await api.post("/users", json=ANN)
    rename(engine, "users", "elsewhere")
    assert await drain(q, until=clock.now() + 60) > 1
    assert (await q.inspector.counts())["critical"] == {State.RETRY: 1}

    rename(engine, "elsewhere", "users")
    await drain(q)
    assert outbox.subjects == ["Please verify your e-mail address"]


async def test_a_mailbox_that_does_not_exist_is_not_tried_again(
    api: httpx.AsyncClient, q: Qcore, outbox: Outbox
) -> None:
    """The server's words are kept."""
    outbox.refuses = True
    await api.post("/users", json=ANN)
    assert await drain(q) == 1
    page = await q.inspector.browse("critical", State.DEAD)
    assert [task.error for task in page.tasks] == ["550 no such mailbox"]


async def test_who_has_verified_gets_no_second_email(
    api: httpx.AsyncClient, q: Qcore, store: Store, outbox: Outbox
) -> None:
    """A task that runs a second time, or late, looks at the user as they are now."""
    await api.post("/users", json=ANN)
    user = store.user("ann")
    assert user is not None
    assert store.verify("ann", user.code)
    await drain(q)
    assert outbox.messages == []


class Postman:
    """A mail server's rules: who is closed, and who is busy."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def handle_RCPT(  # noqa: N802  (the name is aiosmtpd's)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        if address.startswith("closed"):
            return "550 no such mailbox"
        if address.startswith("busy"):
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  (the name is aiosmtpd's)
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self.bodies.append(envelope.content)
        return "250 OK"


async def test_a_refusal_of_a_mail_server_is_final_if_it_says_so() -> None:
    """5xx is for ever, 4xx is for now: by a mail server, on a port of this machine."""
    postman = Postman()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(postman, hostname="mail.example.com"), "127.0.0.1", 0
    )
    async with listening:
        mailer = SmtpMailer(*listening.sockets[0].getsockname())
        await asyncio.to_thread(mailer.send, a_message("ann@example.com"))
        with pytest.raises(MailRefused, match="550 no such mailbox"):
            await asyncio.to_thread(mailer.send, a_message("closed@example.com"))
        with pytest.raises(SMTPRecipientsRefused):
            await asyncio.to_thread(mailer.send, a_message("busy@example.com"))
    assert [b"To: ann@example.com" in body for body in postman.bodies] == [True]


def a_message(to: str) -> EmailMessage:
    """Return an e-mail."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "bank@example.com", to, "Hello"
    message.set_content("Hello\n")
    return message


# --- the reports --------------------------------------------------------------------------------


async def test_reports_come_daily_and_monthly(
    api: httpx.AsyncClient, q: Qcore, outbox: Outbox, clock: ManualClock
) -> None:
    """March in virtual time: a report on each of its days, and in April one on the month."""
    await drain(q, until=clock.now() + 1)  # a worker starts, and declares the entries
    await api.post("/users", json=ANN)
    await drain(q, until=datetime(2026, 4, 1, 12, tzinfo=UTC).timestamp())

    [verification, *reports] = outbox.messages
    assert verification["To"] == "Ann Example <ann@example.com>"
    days = [f"New users, 2026-03-{day:02}" for day in range(1, 32)]
    assert sorted(str(each["Subject"]) for each in reports) == ["New users, 2026-03", *days]
    told = {str(each["Subject"]): each.get_content() for each in reports}
    assert told["New users, 2026-03-01"] == "1 new users, 0 of them verified.\n"
    assert told["New users, 2026-03-02"] == "0 new users, 0 of them verified.\n"
    assert told["New users, 2026-03"] == "1 new users, 0 of them verified.\n"


async def test_days_on_which_no_worker_ran_have_their_reports(
    q: Qcore, store: Store, outbox: Outbox, clock: ManualClock
) -> None:
    """Three days without a worker: three reports, each on its own day."""
    await drain(q, until=clock.now() + 1)
    clock.advance(3 * DAY)
    await drain(q, until=clock.now() + 1)
    assert sorted(outbox.subjects) == [f"New users, 2026-03-0{day}" for day in (1, 2, 3)]


async def test_a_report_that_is_asked_for_is_on_yesterday(
    q: Qcore, store: Store, outbox: Outbox
) -> None:
    """As `qcore` or a program runs it, without a tick."""
    await tasks.send_daily_report.enqueue()
    await drain(q)
    assert outbox.subjects == ["New users, 2026-02-28"]


def test_a_day_ends_where_its_zone_says() -> None:
    """The one on which clocks go forward in Berlin has 23 hours."""
    berlin = ZoneInfo("Europe/Berlin")
    day = day_before(datetime(2026, 3, 30, 9, tzinfo=berlin).timestamp(), berlin)
    assert (day.name, day.end - day.start) == ("2026-03-29", 23 * 3_600)


def test_the_month_before_january_is_december() -> None:
    """Of the year before."""
    month = month_before(datetime(2026, 1, 1, 9, tzinfo=UTC).timestamp(), ZoneInfo("UTC"))
    assert (month.name, month.end - month.start) == ("2025-12", 31 * DAY)


def test_sign_ups_are_those_of_the_period(store: Store) -> None:
    """From its start on, and before its end."""
    for second in (9, 10, 19, 20):
        store.create_user(
            f"u{second}", "U", f"u{second}@example.com", now=float(second), then=lambda _: None
        )
    user = store.user("u19")
    assert user is not None
    store.verify("u19", user.code)
    assert store.sign_ups(10, 20) == SignUps(users=2, verified=1)
    assert store.sign_ups(30, 40) == SignUps(users=0, verified=0)


# --- settings -----------------------------------------------------------------------------------


def test_settings_have_defaults_and_are_read_from_the_environment() -> None:
    """Without any, e-mails are lines of the log."""
    assert Settings.read({}).smtp is None
    settings = Settings.read({"BANK_SMTP": "mail:25", "BANK_TIME_ZONE": "Europe/Berlin"})
    assert (settings.smtp, settings.time_zone.key) == (("mail", 25), "Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "value"),
    [("BANK_SMTP", "mail"), ("BANK_SMTP", "mail:x"), ("BANK_TIME_ZONE", "Berlin/Europe")],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    """With what was expected."""
    with pytest.raises(InvalidOption, match=f"{name} is '{value}': expected"):
        Settings.read({name: value})


def rename(engine: Engine, table: str, to: str) -> None:
    """Take a table away, or bring it back."""
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {to}"))
