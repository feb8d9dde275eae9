import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcore import Qcore
from tests.entrypoints.cli_kit import cells_of, document_of, invoke, working_in, write

MODULE = """
import datetime
import enum
from dataclasses import dataclass

from qcore import Context, Qcore

print("what a module prints")
q = Qcore()


class Tier(enum.Enum):
    FREE = "free"
    PAID = "paid"


@dataclass
class Address:
    city: str
    zip: int


@q.task("greet", queue="low", retention=60)
def greet(
    ctx: Context,
    whom: str,
    times: int = 1,
    day: datetime.date | None = None,
    tier: Tier = Tier.FREE,
    address: Address | None = None,
    numbers: list[int] | None = None,
    anything=None,
) -> None: ...


def any_sms(ctx: Context, **arguments: object) -> None: ...


q.route("sms:", any_sms)
"""
SEALED = """
from qcore import Context, Qcore
from qcore.serializers import SignedSerializer

q = Qcore(serializer=SignedSerializer(keys={"2026": "k" * 32}))


@q.task("pay")
def pay(ctx: Context, invoice: int) -> None: ...
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with two applications."""
    with working_in(tmp_path, monkeypatch):
        write(tmp_path, "app", MODULE)
        write(tmp_path, "sealed", SEALED)
        yield tmp_path


def enqueued(*arguments: str) -> dict[str, Any]:
    """Enqueue a task, and return its arguments as they are stored."""
    done = invoke("enqueue", *arguments, "--app", "app:q", "--id", "one")
    assert (done.exit_code, done.stdout) == (0, "one\n"), done.stderr
    [task] = document_of("task", "show", "one")["tasks"]
    found: dict[str, Any] = task["arguments"]
    return found


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("whom=7", "7"),
        ("whom=null", "null"),
        ('whom:="7"', "7"),
        ("times=7", 7),
        ("times:=7", 7),
        ("day=2026-11-30", "2026-11-30"),
        ("day=null", None),
        ("tier=paid", "paid"),
        ('address={"city": "Bonn", "zip": 53111}', {"city": "Bonn", "zip": 53111}),
        ('address:={"city": "Bonn", "zip": 53111}', {"city": "Bonn", "zip": 53111}),
        ("numbers=[1, 2]", [1, 2]),
        ("anything=7", 7),
        ("anything=ann", "ann"),
    ],
)
def test_a_value_is_what_the_annotation_takes(given: str, value: object) -> None:
    """Text where it takes text, else JSON."""
    name = given.partition("=")[0].removesuffix(":")
    whom = [] if name == "whom" else ["whom=ann"]
    assert enqueued("greet", *whom, given)[name] == value


def test_the_options_of_the_handler_apply() -> None:
    """Those given with the command come before them."""
    assert enqueued("greet", "whom=ann", "--priority", "3", "--tag", "vip") == {"whom": "ann"}
    [task] = document_of("task", "show", "one")["tasks"]
    told = (task["queue"], task["retention_seconds"], task["priority"], task["tags"])
    assert told == ("low", 60.0, 3, ["vip"])


def test_a_name_may_be_that_of_a_prefix() -> None:
    """Its handler takes what there is."""
    assert enqueued("sms:welcome", "to=ann", "n=7") == {"to": "ann", "n": 7}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["greet", "times=3"], "missing required field `whom`"),
        (["greet", "whom=ann", "when=now"], "unknown field `when`"),
        (["greet", "whom=ann", "times=x"], "times is 'x': cannot be read as int"),
        (["greet", "whom=ann", "tier=gold"], "tier is 'gold': cannot be read as Tier"),
        (["greet", "whom=ann", "day=soon"], "day is 'soon': cannot be read as"),
        (["greet", "whom:=7"], "whom is '7': cannot be read as str"),
        (["greet", "whom:=ann"], "whom:=ann: expected JSON"),
        (["greet", 'address={"city": "Bonn"}'], "missing required field `zip`"),
        (["greeet"], "the application has no task 'greeet': did you mean 'greet'?"),
        (["greet", "whom=ann", "--unique", "--unique-for", "2h"], "both --unique and --unique-for"),
        (["greet", "whom=ann", "--at", "2030-01-01", "--delay", "2h"], "both delay and at"),
        (["greet", "whom=ann", "--max-retry", "-1"], "max_retry is -1"),
    ],
)
def test_what_the_handler_does_not_take_is_named(given: list[str], said: str) -> None:
    """In one line, and nothing is enqueued."""
    result = invoke("enqueue", *given, "--app", "app:q")
    assert result.exit_code == 2
    assert said in result.stderr.splitlines()[-1]
    q = Qcore(instruments=[])
    assert q.blocking_inspector.totals() == {}
    q.blocking.close()


def test_what_a_module_prints_is_no_part_of_the_answer() -> None:
    """Whoever reads standard output is to find a document there."""
    result = invoke("enqueue", "greet", "whom=ann", "--app", "app:q", "--json")
    assert json.loads(result.stdout)["name"] == "greet"
    assert "what a module prints" in result.stderr


def test_an_application_that_cannot_be_imported_is_named() -> None:
    """In one line."""
    result = invoke("enqueue", "greet", "--app", "nothing:q")
    assert result.exit_code == 2
    assert "there is no module 'nothing'" in result.stderr


def test_a_url_comes_before_the_store_of_the_application(home: Path) -> None:
    """There its handlers are asked all the same."""
    url = f"sqlite:///{home}/other.db"
    assert invoke("enqueue", "greet", "whom=ann", "--app", "app:q", "--url", url).exit_code == 0
    assert [row[2] for row in cells_of("tasks", "list", "--url", url)] == ["greet"]
    assert not (home / "qcore.db").exists()


def test_a_unique_task_is_enqueued_once() -> None:
    """With or without its handler: what counts is the name, and the arguments."""
    first = invoke("enqueue", "greet", "whom=ann", "--unique", "--app", "app:q").stdout
    again = invoke("enqueue", "greet", "whom=ann", "--unique", "--queue", "low")
    assert (again.stdout, again.exit_code) == (first, 0)
    assert "there is such a task already" in again.stderr
    other = invoke("enqueue", "greet", "whom=bob", "--unique", "--app", "app:q").stdout
    assert other != first


def test_a_task_is_followed_once_it_is_enqueued() -> None:
    """As `qcore task watch` follows it: here until the time is over."""
    result = invoke("enqueue", "greet", "whom=ann", "--id", "one", "--watch-for", "1ms")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (5, "one")
    assert result.stderr == "Error: not ended after 0.001 seconds: one\n"
    again = invoke("enqueue", "greet", "--id", "one", "--wait", "--watch-for", "1ms", "--json")
    told = [json.loads(line) for line in again.stdout.splitlines()]
    assert told[0]["id"] == "one"
    assert all(each["version"] == 1 for each in told)


def test_what_is_sealed_is_said_to_be() -> None:
    """And how it can be read."""
    assert invoke("enqueue", "pay", "invoice=7", "--app", "sealed:q", "--id", "one").exit_code == 0
    [task] = document_of("task", "show", "one")["tasks"]
    assert task["arguments"] is None
    assert b'{"invoice":7}' in base64.b64decode(task["payload_base64"])
    said = "it is sealed (hmac-sha256): name who has the keys with --app MODULE:NAME"
    assert task["unreadable_because"] == said
    assert dict(cells_of("task", "show", "one"))["arguments"].endswith(said)


def test_what_is_sealed_is_opened_with_the_keys_of_the_application(home: Path) -> None:
    """It is found by its arguments then, too; with other keys it is said which key is missing."""
    invoke("enqueue", "pay", "invoice=7", "--app", "sealed:q", "--id", "one")
    [task] = document_of("task", "show", "one", "--app", "sealed:q")["tasks"]
    assert (task["arguments"], task["payload_base64"]) == ({"invoice": 7}, None)
    assert cells_of("tasks", "list", "args.invoice:7", "--app", "sealed:q")[0][1] == "one"
    locked = invoke("tasks", "list", "args.invoice:7", "name:pay")
    assert (locked.exit_code, locked.stdout) == (0, "")
    assert locked.stderr == (
        "some arguments cannot be read here (application/json; sealed=hmac-sha256): "
        "name who has the keys with --app MODULE:NAME\n"
    )
    assert invoke("tasks", "list", "args.invoice:7", "name:other").stderr == ""
    write(home, "other", SEALED.replace("2026", "2027"))
    [task] = document_of("task", "show", "one", "--app", "other:q")["tasks"]
    assert "'2026', which is unknown here" in task["unreadable_because"]
