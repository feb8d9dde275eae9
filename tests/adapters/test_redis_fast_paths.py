"""The fast paths of enqueue, claim and transition against what stands behind them.

On two copies of one database, a script with its fast path and one without are to reply the
same, to write the same into every key, and to publish the same.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.enqueue import encode_tasks
from qcore.adapters.redis.keys import FAST_PATH_KEYS, Key, Keys
from qcore.adapters.redis.scripts import assembled, fast_path
from qcore.adapters.redis.transitions import encode_statistics
from qcore.domain.new_task import NewTask
from qcore.domain.queue_limits import Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.statistics import MAX_NAMES, FieldCounts, Resolution
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Failed, Released, Succeeded
from qcore.testing.builders import LEASE, NOW
from qcore.testing.contract.base import step
from qcore.testing.fakes import fake_redis_broker
from tests.adapters.redis_kit import broker_at
from tests.servers.redis import RedisServer

Word = str | bytes | int
Step = Callable[["Store"], object]

QUEUE: Final = "q"
KEYS: Final = [*Keys("qcore").with_session(QUEUE, "caller", len(Key))]
OTHER_KEYS: Final = [*Keys("qcore").of("r")]
STATISTICS: Final = [*Keys("qcore").now(QUEUE, NOW), *Keys("qcore").now("r", NOW)]
IDS: Final = ("a", "b", "20" * 16, "é:1")
DEFAULT: Final[dict[str, Any]] = {}
KINDS: Final[dict[str, dict[str, Any]]] = {
    "default": DEFAULT,
    "due": {"due": NOW - 1},
    "scheduled": {"due": NOW + 5},
    "large": {"payload": b"x" * 5_000},
    "urgent": {"priority": 3},
    "expiring": {"expires": NOW + 2},
    "retained": {"retention": 60},
    "grouped": {"group": "a group"},
    "unique": {"unique_key": "u", "unique_for": 9},
}
NEEDS_FEW_KEYS: Final = ("default", "due", "large")
"""Kinds of which the first keys of a queue are enough."""
OUTCOMES: Final = (Succeeded(), Failed("no", NOW + 3), Released())
LIMITS: Final = (SetRate(Rate(2, 1)), SetInFlight(1), SetPaused(is_paused=True))


def key(name: Key) -> str:
    """Return the name of a key of the queue."""
    return KEYS[name - 1]


EDITS: Final[Sequence[Sequence[Word]]] = (
    *(("SET", key(each), "x") for each in Key if each is not Key.SESSION),
    *(("DEL", key(each)) for each in (Key.META, Key.TASKS, Key.PENDING, Key.PROGRESS)),
    ("HSET", key(Key.META), "version", "1"),
    ("HSET", key(Key.META), "version", "3"),
    ("HSET", key(Key.META), "version", "x"),
    ("HSET", key(Key.META), "token", "x"),
    ("HSET", key(Key.META), "token", "9" * 15),
    ("HSET", key(Key.META), "large", "1"),
    ("HSET", key(Key.META), "limits", "x"),
    ("HSET", key(Key.TASKS), "a", ""),
    ("HSET", key(Key.TASKS), "a", "a1|"),
    ("HSET", key(Key.TASKS), "a", "a1x - 0 3 0|"),
    ("HDEL", key(Key.TASKS), "a"),
    ("HSET", key(Key.PROGRESS), "a", "1"),
    ("HSET", key(Key.PROGRESS), "a", "1 1 0 0 - - - - - -|"),
    ("ZADD", key(Key.PENDING), "0", "ghost"),
    ("ZADD", key(Key.PENDING), "0", ""),
    ("ZADD", key(Key.SCHEDULED), "1", "ghost"),
    ("SET", key(Key.SESSION), "7 "),
    ("SET", key(Key.SESSION), "7 1 5 6"),
)
COUNTED: Final[Sequence[Sequence[Word]]] = (
    *(("SET", name, "x") for name in STATISTICS[:2]),
    *(("HSET", name, "Sw3r5 n", "many") for name in STATISTICS[:2]),
    *(("HSET", name, "Sw3r5 n", "2") for name in STATISTICS[:2]),
    ("HSET", STATISTICS[0], "", MAX_NAMES),
    ("HSET", STATISTICS[0], "", MAX_NAMES, "#n", ""),
    ("HSET", STATISTICS[0], "", "many"),
    ("HSET", key(Key.DETAILS), "pa", "x"),
    ("HSET", key(Key.META), "sequence", "x"),
)
"""What may be in the way of a transition besides."""


class Store:
    """A database, by a broker and by a client."""

    def __init__(self, broker: RedisBroker, client: "redis.Redis") -> None:
        self.broker = broker.blocking()
        self.client = client
        self.claims: list[Claim] = []

    def put(self, kind: str, id: str) -> None:  # noqa: A002  (as the field is called)
        step(self.broker.enqueue([NewTask("n", id=id, queue=QUEUE, **KINDS[kind])], now=NOW))

    def pack(self, number: int) -> None:
        """Add pending tasks that are in blocks."""
        tasks = [NewTask("n", id=f"{number:02x}{n:030x}", queue=QUEUE) for n in range(number)]
        step(self.broker.enqueue(tasks, now=NOW))

    def crowd(self, last: int) -> None:
        """Add pending tasks that are in no block; `last` is the number of the last task."""
        self.pack(8)
        self.client.hset(key(Key.META), "version", 1)
        self.pack(70)
        self.client.hset(key(Key.META), mapping={"version": 2, "sequence": last})

    def fill(self, number: int) -> None:
        """Add active tasks."""
        if not number:
            return
        tasks = [NewTask("n", id=f"active:{n}", queue=QUEUE, priority=9) for n in range(number)]
        step(self.broker.enqueue(tasks, now=NOW))
        step(self.broker.claim(Demand(number, {QUEUE: number}), now=NOW, until=NOW + LEASE))

    def take(self, number: int) -> None:
        demand = Demand(number, {QUEUE: number})
        self.claims += step(self.broker.claim(demand, now=NOW, until=NOW + LEASE))

    def settle(self, outcome: Any) -> None:
        verdicts = [Verdict(claim.lease, outcome) for claim in self.claims]
        step(self.broker.settle(verdicts, now=NOW))

    def edit(self, command: Sequence[Word]) -> None:
        """Do what somebody has done by hand, unless the server refuses it."""
        try:
            self.client.execute_command(*command)
        except redis.ResponseError:
            return

    def call(self, text: str, keys: Sequence[str], words: Sequence[Word]) -> object:
        """Return the reply of a script; an error is one, too."""
        try:
            return self.client.eval(text, len(keys), *keys, *words)
        except redis.ResponseError as error:
            # a server says in which script, and in which line of it
            return re.sub(r"f_\w{40}|script: ?\w+", "", str(error))

    def contents(self) -> dict[bytes, tuple[object, ...]]:
        """Return what every key holds, and whether it goes by itself."""
        return {
            name: (kind := self.client.type(name), self.read(name, kind), self.client.ttl(name) > 0)
            for name in self.client.scan_iter()
        }

    def read(self, name: bytes, kind: bytes) -> object:
        if kind == b"hash":
            return self.client.hgetall(name)
        if kind == b"zset":
            return self.client.zrange(name, 0, -1, withscores=True)
        return self.client.smembers(name) if kind == b"set" else self.client.get(name)


class Pair:
    """Two databases: one for the whole script, and one for the script without its fast path."""

    def __init__(self, one: Store, other: Store) -> None:
        self.one, self.other = self.stores = one, other
        self.listeners = [each.client.pubsub() for each in self.stores]
        for listener in self.listeners:
            listener.psubscribe("*")

    def clear(self) -> None:
        self.one.client.flushdb()
        self.other.client.flushdb()
        self.one.claims.clear()

    def copy(self) -> None:
        """Make the other database what the one is."""
        for name, (kind, value, _) in self.one.contents().items():
            if kind == b"hash":
                self.other.client.hset(name, mapping=value)  # type: ignore[arg-type]
            elif kind == b"zset":
                self.other.client.zadd(name, dict(value))  # type: ignore[call-overload]
            elif kind == b"set":
                self.other.client.sadd(name, *value)  # type: ignore[misc]
            else:
                self.other.client.set(name, value)  # type: ignore[arg-type]
            if self.one.client.ttl(name) > 0:
                self.other.client.expire(name, 60)

    def encodings(self, n: int) -> dict[bytes, bytes]:
        """Return how a server holds each key in memory."""
        return {}

    def published(self, n: int) -> list[tuple[bytes, bytes]]:
        """Return what scripts have published to one of them since this was asked last.

        A fake also tells of each command that has written a key.
        """
        self.stores[n].client.publish("end", "")
        found: list[tuple[bytes, bytes]] = []
        while True:
            message = self.listeners[n].get_message(timeout=30)
            assert message is not None
            if message["type"] == "pmessage":
                if message["channel"] == b"end":
                    return found
                if not message["channel"].startswith(b"__key"):
                    found.append((message["channel"], message["data"]))

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()
        for store in self.stores:
            step(store.broker.close())
            store.client.close()


class Databases(Pair):
    """Two databases of one server, which copies keys with their encodings."""

    def copy(self) -> None:
        for name in self.one.client.scan_iter():
            self.one.client.execute_command("COPY", name, name, "DB", 1)

    def encodings(self, n: int) -> dict[bytes, bytes]:
        client = self.stores[n].client
        return {name: client.object("ENCODING", name) for name in client.scan_iter()}


UNSHARED: Final = settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""Each example empties the databases that the fixture gives."""


@pytest.fixture(params=["a server", "a fake"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Give two empty databases."""
    pair: Pair
    if request.param == "a fake":
        fakes = [fakeredis.FakeServer(), fakeredis.FakeServer()]
        pair = Pair(
            *(Store(fake_redis_broker(f), fakeredis.FakeRedis(server=f, protocol=2)) for f in fakes)
        )
    else:
        server: RedisServer = request.getfixturevalue("server")
        urls = [server.url, f"{server.url[:-1]}1"]
        pair = Databases(
            *(Store(broker_at(url), redis.Redis.from_url(url, protocol=2)) for url in urls)
        )
    yield pair
    pair.clear()
    pair.close()


LIMITED: Final[st.SearchStrategy[Step]] = st.builds(
    lambda rule: lambda store: step(store.broker.set_limit(QUEUE, rule, now=NOW)),
    st.sampled_from(LIMITS),
)
STEPS: Final[st.SearchStrategy[Step]] = st.one_of(
    st.builds(
        lambda kind, id: lambda store: store.put(kind, id),  # noqa: A006  (as the field is called)
        st.sampled_from([*KINDS]),
        st.sampled_from(IDS),
    ),
    st.builds(lambda number: lambda store: store.take(number), st.integers(1, 3)),
    st.builds(lambda outcome: lambda store: store.settle(outcome), st.sampled_from(OUTCOMES)),
    st.builds(lambda number: lambda store: store.pack(number), st.sampled_from([8, 70])),
    LIMITED,
)
EDITED: Final[st.SearchStrategy[Step]] = st.builds(
    lambda command: lambda store: store.edit(command), st.sampled_from(EDITS)
)


def edit(*command: Word) -> Step:
    """Return a step that does something by hand."""
    return lambda store: store.edit(command)


def begin(store: Store) -> None:
    """Let all sequences be of one length, as they are but for the first tasks of a queue."""
    store.put("default", "first")
    store.edit(("HSET", key(Key.META), "sequence", "5055"))


BACKLOG: Final[st.SearchStrategy[Step]] = st.one_of(
    st.sampled_from([8, 70]).map(lambda number: lambda store: store.pack(number)),
    st.tuples(
        st.sampled_from(["default", "urgent", "retained", "expiring", "scheduled"]),
        st.sampled_from([*IDS, "fd" + "0" * 30]),
    ).map(lambda task: lambda store: store.put(*task)),
    st.sampled_from([1, 9]).map(lambda number: lambda store: store.take(number)),
    st.sampled_from(OUTCOMES).map(lambda outcome: lambda store: store.settle(outcome)),
)
SPOILT: Final = (
    edit("HSET", key(Key.META), "large", "1"),
    edit("HSET", key(Key.META), "limits", "- - 0 1 0"),
    edit("HSET", key(Key.META), "sequence", "4990"),
    edit("HSET", key(Key.META), "packed", "1"),
    edit("HDEL", key(Key.META), "packed"),
    edit("HDEL", key(Key.BLOCKS), "d13c0"),
    edit("HSET", key(Key.BLOCKS), "d13c0", "d13c0|"),
    edit("HSET", key(Key.BLOCKS), "d1400", "d1400\1" + "x" * 16),
    edit("HSET", key(Key.PROGRESS), "a", "0 2 1 1 - - - - - -|"),
    edit("HSET", key(Key.PROGRESS), "a", "0 2 1 0 - - - - - -|no"),
    edit("ZADD", key(Key.RETRY), repr(NOW - 1), "a"),
    edit("ZADD", key(Key.DEAD), "1", "a"),
)


@st.composite
def backlogs(draw: st.DrawFn) -> list[Step]:
    """Draw the steps to a backlog of lone tasks and of blocks, with one edit at most."""
    active = draw(st.sampled_from([0, 0, 1, 8, 9]))
    return [
        begin,
        lambda store: store.fill(active),
        *draw(st.lists(BACKLOG, min_size=1, max_size=4)),
        *draw(st.lists(st.sampled_from(SPOILT), max_size=1)),
    ]


@st.composite
def states(draw: st.DrawFn) -> list[Step]:
    """Draw the steps to a state of a queue: half of them to one that a fast path nearly handles."""
    if draw(st.booleans()):
        return draw(backlogs())
    if draw(st.integers(0, 9)) == 0:
        last = draw(st.sampled_from([253, 254, 255, 256]))
        return [lambda store: store.crowd(last), *draw(st.lists(EDITED, max_size=1))]
    if draw(st.booleans()):
        return [*draw(st.lists(STEPS, max_size=5)), *draw(st.lists(EDITED, max_size=1))]
    active = draw(st.sampled_from([0, 1, 7, 8, 9]))
    pending = [*draw(st.lists(STEPS, max_size=1)), lambda store: store.put("default", "b")]
    return [
        lambda store: store.fill(active),
        *pending,
        *draw(st.lists(EDITED | LIMITED, max_size=1)),
    ]


ENQUEUES: Final = st.tuples(
    st.sampled_from(["0", "0", "0", "1"]),
    st.sampled_from(["default", *KINDS]),
    st.sampled_from(["new", "fe" * 16, *IDS]),
    st.sampled_from([FAST_PATH_KEYS, len(Key)]),
    st.booleans(),
    st.sampled_from([0, 0, 6, 7, 63, 64, 130]),
    st.sampled_from(["default", "default", "urgent", "retained"]),
)
"""Whether it may be a duplicate request, the kind and id of a task, the keys, leave to create, and
how many others come before it, each third of another kind."""

CLAIMS: Final = st.tuples(
    st.sampled_from(["0", "0", "0", "1"]),
    st.sampled_from([NOW, 0.0, 5e9]),
    st.sampled_from([0, 1, 2, 3, 8, 64, 100, 250]),
    st.sampled_from(["no", "last", "yes"]),
    st.sampled_from(["1e12", "1e12", "0"]),
    st.sampled_from([250, 250, 250, 0, 2]),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from([(), (), (0, "-"), (2, 3)]),
)
"""Whether it may be a duplicate request, now, room, promotion, the deadline, the quota, queues, and
how many were given before and may be given together."""


TRANSITIONS: Final = st.tuples(
    st.sampled_from(["0", "0", "0", "1"]),
    st.lists(
        st.tuples(st.sampled_from(IDS), st.sampled_from(["held", "held", "lost"])), max_size=3
    ),
    st.sampled_from(["nothing", "nothing", "retried"]),
    st.sampled_from(
        [{}, {"n": {"S": 1, "w3": 1, "r5": 1}}, {"n": {"S": 2, "w3": 1}, "m": {"J": 7}}]
    ),
)
"""Whether it may be a duplicate request, active tasks to delete and whether they are held still,
what else becomes of another one, and what all of that adds to the statistics."""


def is_same(pair: Pair, script: str, keys: Sequence[str], words: Sequence[Word]) -> None:
    """Assert that a script does the same with its fast path and without."""
    pair.copy()
    assert pair.one.contents() == pair.other.contents()
    texts = assembled(script).text, assembled(script, with_fast_path=False).text
    done = [
        (pair.published(n), pair.stores[n].call(text, keys, words), pair.published(n))[1:]
        for n, text in enumerate(texts)
    ]
    assert done[0] == done[1]
    assert pair.one.contents() == pair.other.contents()
    assert pair.encodings(0) == pair.encodings(1)


@given(state=states(), request_=ENQUEUES)
@example(
    [lambda store: store.put("default", "a"), lambda store: store.edit(EDITS[3])],
    ("0", "default", "new", len(Key), False, 0, "default"),
)
@UNSHARED
def test_tasks_are_enqueued_as_without_the_fast_path(
    pair: Pair, state: Sequence[Step], request_: tuple[str, str, str, int, bool, int, str]
) -> None:
    """Whatever is stored, and whatever is to be."""
    pair.clear()
    for each in state:
        each(pair.one)
    is_retry, kind, id, number, may_create, before, third = request_  # noqa: A001  (as the field is called)
    kinds = ["default", "default", third]
    tasks = [
        NewTask("n", id=f"fd{n:030x}", queue=QUEUE, **KINDS[kinds[n % 3]]) for n in range(before)
    ]
    tasks.append(NewTask("n", id=id, queue=QUEUE, **KINDS[kind]))
    [_, *words] = encode_tasks(tasks, NOW)
    if {kind, third} - {*NEEDS_FEW_KEYS}:
        number = len(Key)
    is_same(pair, "enqueue", KEYS[:number], [is_retry, 7, int(may_create), *words])


@given(state=states(), request_=CLAIMS)
@UNSHARED
def test_tasks_are_claimed_as_without_the_fast_path(
    pair: Pair,
    state: Sequence[Step],
    request_: tuple[str, float, int, str, str, int, int, tuple[Word, ...]],
) -> None:
    """Whatever is stored, and whatever is asked for."""
    pair.clear()
    for each in state:
        each(pair.one)
    is_retry, now, room, promoting, deadline, quota, queues, given = request_
    words = [is_retry, 7, repr(now), repr(now + LEASE), room, promoting, deadline]
    keys = [*KEYS, *OTHER_KEYS][: queues * len(Key)] + STATISTICS[: len(Resolution) * queues]
    is_same(pair, "claim", keys, [*words, *[quota] * queues, *given * queues])


@given(
    state=st.lists(STEPS, max_size=5),
    edits=st.lists(st.sampled_from([*COUNTED, *EDITS]), max_size=1),
    request_=TRANSITIONS,
)
@UNSHARED
def test_a_task_is_settled_as_without_the_fast_path(
    pair: Pair,
    state: Sequence[Step],
    edits: Sequence[Sequence[Word]],
    request_: tuple[str, Sequence[tuple[str, str]], str, Mapping[str, FieldCounts]],
) -> None:
    """Whatever is stored, and whatever becomes of it."""
    pair.clear()
    for each in [lambda store: store.put("default", "b"), *state, lambda store: store.take(3)]:
        each(pair.one)
    for edit in edits:
        pair.one.edit(edit)
    is_retry, deletions, other, counts = request_
    tokens = {claim.task.id: claim.lease.token for claim in pair.one.claims}
    deleted = {id: tokens.get(id, 1) + (is_held == "lost") for id, is_held in deletions}  # noqa: A001  (as the field is called)
    changed = [id for id in tokens if id not in deleted and other == "retried"]  # noqa: A001  (as the field is called)
    held = " ".join(map(str, deleted.values()))
    words: list[Word] = [len(deleted), len(changed), held, *deleted, *changed]
    for id in changed:  # noqa: A001  (as the field is called)
        words += ["t", tokens[id], 1, int(Key.ACTIVE), id, 1, int(Key.RETRY), NOW + 1, id]
        words += ["1 1 1 0 - - - - - -|", "", "", ""]
    words += ([""] if changed else []) + encode_statistics(counts)
    is_same(pair, "transition", [*KEYS, *STATISTICS[: len(Resolution)]], [is_retry, 7, *words])


@pytest.mark.parametrize("active", [0, 7, 9])
def test_the_most_frequent_requests_take_the_fast_path(pair: Pair, active: int) -> None:
    """Behind it stands nothing here: a request that it passes on has no reply."""
    pair.one.fill(active)
    pair.one.put("default", "a")
    pair.one.take(1)
    pair.one.settle(Succeeded())
    [_, *words] = encode_tasks([NewTask("n", id="a", queue=QUEUE)], NOW)
    assert pair.one.call(fast_path("enqueue"), KEYS[:FAST_PATH_KEYS], ["0", 7, 0, *words]) == b""
    words = ["0", 7, repr(NOW), repr(NOW + LEASE), 1, "yes", "1e12", 1]
    reply = pair.one.call(fast_path("claim"), [*KEYS, *STATISTICS[: len(Resolution)]], words)
    assert isinstance(reply, list)
    assert reply[0] == b"done"


@pytest.mark.parametrize("version", [1, 2])
def test_batches_take_the_fast_path(pair: Pair, version: int) -> None:
    """Into blocks, and from blocks or, in a queue of version 1, from members of their own."""
    pair.one.put("scheduled", "a")
    pair.one.client.hset(key(Key.META), mapping={"version": version, "sequence": 300})
    pair.one.pack(70)
    tasks = [NewTask("n", id=f"fd{n:030x}", queue=QUEUE) for n in range(100)]
    [_, *words] = encode_tasks(tasks, NOW)
    reply = pair.one.call(fast_path("enqueue"), KEYS[:FAST_PATH_KEYS], ["0", 7, 0, *words])
    assert reply == (b"" if version == 2 else None)
    keys = [*KEYS, *STATISTICS[: len(Resolution)]]
    for number in (40, 25):
        words = ["0", 7, repr(NOW), repr(NOW + LEASE), number, "yes", "1e12", number]
        reply = pair.one.call(fast_path("claim"), keys, words)
        assert isinstance(reply, list)
        [(_, ids, values, records)] = reply[1]
        assert len(ids) == len(values) == number
        assert records is None


@pytest.mark.parametrize("kind", ["urgent", "retained", "default"])
def test_tasks_with_run_records_in_full_take_the_fast_path(pair: Pair, kind: str) -> None:
    """Those with metadata of their own, and those that were given back."""
    for id in ("a", "b"):  # noqa: A001  (as the field is called)
        pair.one.put(kind, id)
    pair.one.take(1)
    pair.one.settle(Released())
    keys = [*KEYS, *STATISTICS[: len(Resolution)]]
    words: list[Word] = ["0", 7, repr(NOW), repr(NOW + LEASE), 2, "yes", "1e12", 2]
    reply = pair.one.call(fast_path("claim"), keys, words)
    assert isinstance(reply, list)
    [(before, ids, _, records)] = reply[1]
    held = " ".join(str(before + n) for n in (1, 2))
    assert any(record is not None and b" " in record for record in records)
    assert pair.one.call(fast_path("transition"), keys, ["0", 7, 2, 0, held, *ids]) == b""
    assert step(pair.one.broker.count()) == {}


@pytest.mark.parametrize("counts", [{}, {"n": {"S": 2}}])
def test_successes_take_the_fast_path(pair: Pair, counts: Mapping[str, FieldCounts]) -> None:
    """Many at once too, with statistics and without."""
    for id in ("a", "b"):  # noqa: A001  (as the field is called)
        pair.one.put("default", id)
    pair.one.take(2)
    tokens = " ".join(str(claim.lease.token) for claim in pair.one.claims)
    words = ["0", 7, 2, 0, tokens, "a", "b", *encode_statistics(counts)]
    assert (
        pair.one.call(fast_path("transition"), [*KEYS, *STATISTICS[: len(Resolution)]], words)
        == b""
    )
    assert step(pair.one.broker.count()) == {}
