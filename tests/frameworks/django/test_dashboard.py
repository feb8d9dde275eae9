"""The dashboard as a view of Django: behind its login, with its permissions."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings

from qcore import NewTask
from qcore.django.dashboard import pages
from qcore.django.testing import InMemoryQueue

PAGE = "/staff/queues/"
FORM = {"data": "queue=a%2Fb&to=pause", "content_type": "application/x-www-form-urlencoded"}
pytestmark = pytest.mark.usefixtures("database", "queue")


@pytest.fixture(autouse=True)
def _end() -> Iterator[None]:
    yield
    pages.close()


def browser_of(name: str, *permissions: str, is_staff: bool = True) -> Client:
    """Return the browser of a user who has logged in."""
    user = User.objects.create(username=name, is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(headers={"sec-fetch-site": "same-origin"})
    client.force_login(user)
    return client


def test_who_is_not_logged_in_is_led_to_the_login() -> None:
    """And comes back to the page from there."""
    answer = Client().get(f"{PAGE}tasks?q=state%3Adead")
    assert answer.status_code == 302
    assert answer["Location"] == ("/accounts/login/?next=/staff/queues/tasks%3Fq%3Dstate%253Adead")


@pytest.mark.parametrize(
    ("permissions", "is_staff"), [([], True), (["view_queue", "change_queue"], False)]
)
def test_who_may_not_look_is_refused(permissions: list[str], is_staff: bool) -> None:  # noqa: FBT001
    """Staff without the permission, and whoever is none of the staff."""
    assert browser_of("ann", *permissions, is_staff=is_staff).get(PAGE).status_code == 403


def test_who_may_look_cannot_move(queue: InMemoryQueue) -> None:
    """With `qcore.view_queue` alone."""
    browser = browser_of("ann", "view_queue")
    assert "ann" in browser.get(PAGE).content.decode()
    assert browser.post(f"{PAGE}queue-pause", **FORM).status_code == 404


def test_who_may_change_moves_tasks(queue: InMemoryQueue) -> None:
    """With `qcore.change_queue`; the queue has a slash in its name."""
    queue.q.blocking.enqueue(NewTask("x", id="1", queue="a/b"))
    browser = browser_of("boss", "change_queue")
    assert browser.post(f"{PAGE}queue-pause", **FORM).status_code == 303
    page = browser.get(f"{PAGE}queue?queue=a%2Fb")
    assert page.status_code == 200
    assert "paused" in page.content.decode()


def test_a_form_of_another_site_is_refused(queue: InMemoryQueue) -> None:
    """Though Django does not look for its own token: the pages look where a form comes from."""
    browser = browser_of("boss", "change_queue")
    answer = browser.post(f"{PAGE}queue-pause", **FORM, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


def test_the_pages_keep_their_headers_and_files() -> None:
    """Their content security policy, and the types of what they bring."""
    browser = browser_of("ann", "view_queue")
    page = browser.get(PAGE)
    assert "default-src 'none'" in page["Content-Security-Policy"]
    style = browser.get(f"{PAGE}static/app.css")
    assert style["Content-Type"].startswith("text/css")
    assert browser.get("/staff/queues/no-such-page").status_code == 404


def test_a_prefix_of_the_server_is_kept() -> None:
    """Links are relative, and a redirect too: they work under any."""
    browser = browser_of("ann", "view_queue")
    with override_settings(FORCE_SCRIPT_NAME="/shop"):
        assert browser.get(PAGE, SCRIPT_NAME="/shop").status_code == 200
