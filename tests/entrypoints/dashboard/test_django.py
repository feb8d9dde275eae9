"""The dashboard in Django, as docs/how-to/mount-the-dashboard.md has it, in a process of its own.

Django has one set of settings for a process.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[3] / "docs" / "how-to" / "mount-the-dashboard.md"
BLOCK: Final = re.compile(r'```python title="(mysite/\w+\.py)"\n(.*?)```', re.DOTALL)
SETTINGS: Final = """
SECRET_KEY = "a secret of the application"
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}}
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"
]
"""
URLS: Final = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("of Django"))]
"""
QUEUES: Final = """
from qcore import Qcore

q = Qcore("memory://", instruments=[])
"""
CHECK: Final = """
import asyncio

import httpx
from mysite import asgi, wsgi
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command


def session_of(user):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session.session_key


def asked(get, post):
    told = []
    told.append(get("/", "").text)
    told.append(get("/queues", people["boss"]).headers["location"])
    told.append(get("/queues-of-others", people["boss"]).status_code)
    told += [get("/queues/", key).status_code for key in people.values()]
    told.append("boss" in get("/queues/queue?queue=a%2Fb", people["boss"]).text)
    told += [post("/queues/queue-pause", key).status_code for key in people.values()]
    return told


call_command("migrate", verbosity=0)
people = {
    "nobody": "",
    "user": session_of(User.objects.create_user("user")),
    "staff": session_of(User.objects.create_user("staff", is_staff=True)),
    "boss": session_of(User.objects.create_superuser("boss")),
}
FORM = {"queue": "a/b", "to": "pause"}


def headers(key):
    return {"cookie": f"sessionid={key}", "sec-fetch-site": "same-origin"}


transport = httpx.WSGITransport(app=wsgi.application, remote_addr="127.0.0.1")
with httpx.Client(transport=transport, base_url="http://localhost") as http:
    print(asked(
        lambda path, key: http.get(path, headers=headers(key)),
        lambda path, key: http.post(path, data=FORM, headers=headers(key)),
    ))
wsgi.pages.close()

# a store in memory belongs to one loop; streams stop with the loop, too
with asyncio.Runner() as runner:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(asgi.application),
                             base_url="http://localhost")
    print(asked(
        lambda path, key: runner.run(http.get(path, headers=headers(key))),
        lambda path, key: runner.run(http.post(path, data=FORM, headers=headers(key))),
    ))
    told = runner.run(http.get("/queues/live?most=1", headers=headers(people["staff"]))).text
    print("event: opened" in told)
"""


def test_staff_of_django_look_and_its_superusers_move(tmp_path: Path) -> None:
    """Under WSGI and ASGI, under a prefix beside Django's own pages, which stay as they are."""
    blocks = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert blocks.keys() == {f"mysite/{name}.py" for name in ("dashboard", "wsgi", "asgi")}
    files = {
        **blocks,
        "mysite/settings.py": SETTINGS,
        "mysite/urls.py": URLS,
        "mysite/queues.py": QUEUES,
        "check.py": CHECK,
    }
    (tmp_path / "mysite").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "check.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    as_each = "[404, 404, 200, 200, True, 404, 404, 404, 303]"
    first = "['of Django', 'queues/', 404, "
    assert done.stdout.splitlines() == [*[first + as_each[1:]] * 2, "True"], done.stderr
