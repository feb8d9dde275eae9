"""Who is let in, and as whom."""

import base64
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from qcore.dashboard import ALL, READ_ONLY, Right, Rights, Visitor, dashboard
from qcore.domain.errors import InvalidOption
from qcore.entrypoints.dashboard.app import Dashboard
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.login_attempts import ADDRESSES, MOST, SPAN, LoginAttempts
from qcore.entrypoints.dashboard.refusals import TooMany
from qcore.entrypoints.dashboard.settings import settings_of
from qcore.entrypoints.dashboard.table import TABLE
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, put, text_of

TOKEN = "correct-horse-battery"
READER = "a-token-to-look-only"


# --- this machine alone ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost:8080", "127.0.0.1", "127.8.8.8:1", "[::1]:80", "q.localhost"]
)
async def test_this_machine_is_let_in_without_a_login(host: str) -> None:
    """By each name that it has for itself."""
    at = browser(dashboard(a_queue()), f"http://{host}")
    assert (await at.get()).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "192.168.1.7", "localhost.evil.example", "8.8.8.8", ""]
)
async def test_a_name_that_leads_here_from_elsewhere_is_refused(host: str) -> None:
    """As with DNS rebinding: a page elsewhere has its own name lead to this machine."""
    at = browser(dashboard(a_queue()))
    response = await at.http.get("/", headers={"host": host})
    assert response.status_code == 403
    assert "--token-file" in response.text


async def test_another_machine_is_refused() -> None:
    """Whatever name it gives."""
    at = browser(dashboard(a_queue()), client="10.0.0.7")
    assert (await at.get()).status_code == 403


async def test_what_has_no_address_is_refused() -> None:
    """It came over a socket in the file system, most likely from a proxy."""
    app = dashboard(a_queue())

    async def nameless(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": None}, receive, send)

    assert (await browser(nameless).get()).status_code == 403


@pytest.mark.parametrize(
    "name",
    ["x-forwarded-for", "X-Forwarded-Proto", "forwarded", "via", "x-real-ip", "x-envoy-peer"],
)
async def test_what_a_proxy_passes_on_is_refused(name: str) -> None:
    """It comes from this machine, and who sent it there is not known."""
    at = browser(dashboard(a_queue()))
    assert (await at.http.get("/", headers={name: "127.0.0.1"})).status_code == 403


async def test_a_proxy_that_adds_no_header_is_known_by_its_protocol() -> None:
    """As nginx is where only proxy_pass is set: it speaks HTTP/1.0, and asks for this machine."""
    app = dashboard(a_queue())

    async def behind_nginx(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "http_version": "1.0"}, receive, send)

    assert (await browser(behind_nginx).get()).status_code == 403
    assert (await browser(app).get()).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin", "referer": "https://ops.example.com/queues/"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "https://ops.example.com"}, 403),
        ({"sec-fetch-site": "same-origin", "referer": "http://localhost:8080/"}, 200),
        ({"sec-fetch-site": "same-origin", "referer": "http://[::1]:8080/"}, 200),
        ({"sec-fetch-site": "cross-site", "referer": "https://chat.example.com/"}, 200),
    ],
)
async def test_a_page_of_ours_at_another_name_is_behind_a_proxy(
    headers: dict[str, str], status: int
) -> None:
    """A browser says that the page is ours, and where it is; a link from elsewhere is followed."""
    at = browser(dashboard(a_queue()))
    assert (await at.http.get("/", headers=headers)).status_code == status


# --- everybody ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("10.0.0.1:80", 200), ("ops.example.com", 200), ("evil.example", 403)],
)
async def test_a_dashboard_without_a_login_answers_to_names_it_knows(
    host: str, status: int
) -> None:
    """A page elsewhere cannot have its own name lead here."""
    settings = settings_of(is_open=True, public_origins=["https://ops.example.com"])
    at = browser(Dashboard(Board(a_queue(), settings), TABLE), client="10.0.0.7")
    assert (await at.http.get("/", headers={"host": host})).status_code == status


# --- tokens ------------------------------------------------------------------------------------


def with_tokens() -> Dashboard:
    """Return a dashboard with a token for each role."""
    return dashboard(a_queue(), token=TOKEN, read_only_token=READER)


@pytest.mark.parametrize(
    ("token", "status"), [(TOKEN, 303), (READER, 404)], ids=["all", "read only"]
)
async def test_a_token_in_the_form_opens_a_session(token: str, status: int) -> None:
    """With its rights, under the name that was given, on the page that was asked for."""
    at = browser(with_tokens())
    form = await at.get("tasks", q="state:dead")
    assert form.status_code == 401
    assert 'value="tasks?q=state%3Adead"' in form.text
    response = await at.post("login", token=token, name="Ann", next="tasks?q=state%3Adead")
    assert response.status_code == 303
    assert response.headers["location"] == "tasks?q=state%3Adead"
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert token not in cookie
    html = await at.page("tasks", q="state:dead")
    assert "Ann" in text_of(html)
    paused = await at.post("queue-pause", queue="mail", to="pause")
    assert paused.status_code == status


@pytest.mark.parametrize("kind", ["bearer", "basic"])
async def test_a_token_may_come_with_each_request(kind: str) -> None:
    """As programs send it."""
    basic = base64.b64encode(f"ann:{TOKEN}".encode()).decode()
    at = browser(with_tokens())
    header = f"Bearer {TOKEN}" if kind == "bearer" else f"Basic {basic}"
    assert (await at.http.get("/", headers={"authorization": header})).status_code == 200


@pytest.mark.parametrize("header", ["Bearer", "Bearer wrong", "Basic !", "Basic YQ==", "Digest x"])
async def test_a_wrong_token_is_refused(header: str) -> None:
    """With the form."""
    response = await browser(with_tokens()).http.get("/", headers={"authorization": header})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("cookie", ["", "a.b.c", "9999999999..00", "x" * 5_000, "1.2.3.4"])
async def test_a_made_up_session_is_none(cookie: str) -> None:
    """Its signature is that of nobody."""
    at = browser(with_tokens())
    header = {"cookie": f"qcore_session={cookie}"}
    assert (await at.http.get("/", headers=header)).status_code == 401


async def test_a_session_ends_with_its_token_and_with_the_logout() -> None:
    """Another token signs otherwise; a browser that logs out forgets the cookie."""
    at = browser(with_tokens())
    await at.post("login", token=TOKEN)
    assert (await at.get()).status_code == 200
    other = browser(dashboard(a_queue(), token="another-token-of-size"))
    other.http.cookies = at.http.cookies
    assert (await other.get()).status_code == 401
    await at.post("logout")
    assert (await at.get()).status_code == 401


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "https://evil.example",
        "/x",
        "javascript:1",
        "nowhere",
        "\\\\evil",
        "x://[y",
    ],
)
async def test_a_login_leads_to_pages_of_ours_alone(to: str) -> None:
    """A link to the form cannot send somebody elsewhere."""
    response = await browser(with_tokens()).post("login", token=TOKEN, next=to)
    assert response.headers["location"] == "./"


async def test_who_guesses_is_not_listened_to_for_a_minute() -> None:
    """Not even when a guess is right: five failures from one address."""
    at = browser(with_tokens())
    for _ in range(MOST):
        assert (await at.post("login", token="wrong-wrong-wrong")).status_code == 401
    assert (await at.post("login", token=TOKEN)).status_code == 429
    assert (await at.http.get("/", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 429


def test_failures_are_forgotten_after_a_minute_and_addresses_are_bounded() -> None:
    """Who failed long ago may try again, and many addresses fill no memory."""
    now = 0.0
    attempts = LoginAttempts(lambda: now)
    for _ in range(MOST):
        attempts.failed("a")
    with pytest.raises(TooMany):
        attempts.check("a")
    attempts.check("b")
    for number in range(2 * ADDRESSES):
        attempts.failed(str(number))
    with pytest.raises(TooMany):
        attempts.check("b")
    now = SPAN + 1
    attempts.check("a")
    assert len(attempts._of_one) == ADDRESSES  # noqa: SLF001


@pytest.mark.parametrize("token", ["", "tiny-tiny", "x" * 2_000, "ümlaut-ümlaut-ümlaut", 77_777])
def test_a_token_that_can_be_guessed_is_refused(token: Any) -> None:
    """In one line, which does not repeat it."""
    with pytest.raises(InvalidOption, match="16 to") as caught:
        dashboard(a_queue(), token=token)
    assert not token or str(token) not in str(caught.value)


# --- a callback --------------------------------------------------------------------------------


async def test_a_callback_may_be_a_coroutine_and_name_the_visitor() -> None:
    """What it returns is what holds for this request."""

    async def access(request: Request) -> Visitor | None:
        name = request.headers.get("x-user")
        return None if name is None else Visitor(READ_ONLY, name)

    at = browser(dashboard(a_queue(), access=access))
    assert (await at.get()).status_code == 404
    response = await at.http.get("/", headers={"x-user": "ann"})
    assert response.status_code == 200
    assert "ann" in response.text


@pytest.mark.parametrize("answer", [True, "queue.read", ["nonsense"], [7], ["queue.read@"], 7])
async def test_an_answer_that_makes_no_sense_lets_nobody_in(answer: Any) -> None:
    """It is a fault of the application: 500, and the log says which."""
    at = browser(dashboard(a_queue(), access=lambda _: answer))
    response = await at.get()
    assert response.status_code == 500
    assert "queue" not in response.text.partition("<main")[2]


def test_rights_are_by_action_and_queue() -> None:
    """Each may have stars; without a queue they are for all."""
    rights = Rights.of({"*.read", "task.move@mail*"})
    assert rights.may(Right.QUEUE_READ, "any")
    assert rights.may(Right.TASK_MOVE, "mail-eu")
    assert rights.may(Right.TASK_MOVE)
    assert not rights.may(Right.TASK_MOVE, "images")
    assert not rights.may(Right.TASK_DELETE)
    assert str(rights.query(Right.TASK_MOVE)) == "queue:mail*"
    assert str(rights.query(Right.TASK_READ)) == ""
    assert ALL.may(Right.TASK_DELETE, "any")
    assert READ_ONLY.query(Right.TASK_MOVE).has_queue("any") is False


async def test_to_change_something_needs_the_right_to_see_it() -> None:
    """Pages that ask before an order show its task: to who may not see that, there is none."""
    q = a_queue()
    task = await put(q, queue="mail", name="email:welcome")
    order = {"queue": "mail", "id": task.id}
    for rights, status in (({"task.*", "*.read@other"}, 200), ({"task.move", "task.edit"}, 404)):
        at = browser(as_role(q, rights))
        asked = await at.post("task-move", **order, verb="cancel")
        form = await at.get("task-edit", **order)
        assert (asked.status_code, form.status_code) == (status, status)
        assert ("email:welcome" in asked.text + form.text) == (status == 200)


def test_what_is_granted_for_queues_that_are_not_seen_is_no_right() -> None:
    """Nor does it count for all queues."""
    rights = Rights.of({"task.move", "task.read@mail", "queue.pause@*"})
    assert rights.may(Right.TASK_MOVE, "mail")
    assert not rights.may(Right.TASK_MOVE, "images")
    assert not rights.may_everywhere(Right.TASK_MOVE)
    assert rights.query(Right.TASK_MOVE).has_queue("mail")
    assert not rights.query(Right.TASK_MOVE).has_queue("images")
    assert not rights.may(Right.QUEUE_PAUSE)
    assert Rights.of({"store.examine"}).may(Right.STORE_EXAMINE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"access": READ_ONLY},
        {"access": lambda _: ALL, "token": TOKEN},
        {"environment": ""},
        {"environment": "x" * 41},
        {"colour": "red"},
        {"environment": "prod", "colour": "pink"},
        {"zone": "Mars/Olympus"},
        {"zone": "../../etc/passwd"},
        {"mask": "password"},
        {"mask": [7]},
        {"look": 0},
        {"look": 100_001},
        {"look": True},
        {"look": "2000"},
        {"public_origins": "https://ops.example.com"},
        {"public_origins": ["ops.example.com"]},
        {"public_origins": ["https://ops.example.com/queues"]},
        {"public_origins": ["https://ann@ops.example.com"]},
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: Any) -> None:
    """In one line that names it."""
    with pytest.raises(InvalidOption) as caught:
        dashboard(a_queue(), **wrong)
    assert "\n" not in str(caught.value)
