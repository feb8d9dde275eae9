"""What somebody has put into a group, the registry or a queue's meta is named, or in no way."""

import asyncio

import pytest

from qcore.adapters.redis import RedisBroker
from qcore.domain.answers import Enqueued
from qcore.domain.diagnostics import Grade
from qcore.domain.states import State
from qcore.domain.task import token_floor
from qcore.errors import BrokerUnusable
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.steps import ids, put, take
from tests.adapters.doctoring import examined
from tests.adapters.redis_kit import RedisCases
from tests.servers.redis import RedisServer

QUEUE = "qcore:{default}:"
META, GROUPS, AGGREGATING = f"{QUEUE}meta", f"{QUEUE}groups", f"{QUEUE}aggregating"
DUE = b"00000000000000.000000000"

ODD_MEMBERS = {
    "a word": b"junk",
    "nothing": b"",
    "a mark": b"\1",
    "no id": b"m\1" + DUE,
    "no moment": b"m\1short",
    "no group": b"\1" + DUE + b"task",
    "another moment": b"m\1" + b"x" * 24 + b"task",
    "no UTF-8": b"\xff\xfe\1" + DUE + b"task",
    "a group of nobody": b"n\1" + DUE + b"ghost",
}
ODD_NAMES = {
    "no UTF-8": b"\xff\xfe",
    "a blank": b"a b",
    "braces": b"a}{b",
    "too long": b"x" * 300,
    "a line": b"a\nb",
}
VERSIONS = ["new", "", "1.5", "-1", "0", "1e0", "one two"]
SEQUENCES = ["x", "", "1.5", "-3", "inf", "9" * 30, "0x10"]
TOKENS = ["x", "", "inf", "nan", "-1", "1e300", "9" * 40]
LIMITS = ["x", "", "inf inf inf inf 0", "nan nan nan nan 0", "5 x 0 - 0", "5 1 x - 0", "0 0 0 - 0"]


class TestOddMembers(RedisCases):
    """Real tasks go on, or what is wrong is said, with what to do."""

    blocking = True

    @pytest.fixture(autouse=True)
    def _on_a_server(self, server: RedisServer) -> None:
        server.flush()
        self.server, self.url = server, server.url

    async def spoilt(self, broker: RedisBroker, field: str, value: str | None) -> None:
        """Enqueue a task, and spoil a field of the queue's meta."""
        await put(broker, a_task(id="before"))
        if value is None:
            self.server.cli("HDEL", META, field)
        else:
            self.server.cli("HSET", META, field, value)

    async def raised(self, broker: RedisBroker) -> str:
        """Return the error of an enqueue, be it a plain task or one with options."""
        said: set[str] = set()
        for task in (a_task(), a_task(priority=3)):
            with pytest.raises(BrokerUnusable) as error:
                await broker.enqueue([task], now=NOW)
            said.add(str(error.value))
        (one,) = said
        assert "newer" not in one
        assert "6.2" not in one
        return one

    def remedies(self, about: str) -> list[str]:
        """Return what the doctor says is to be done."""
        # no loop runs here: the broker is a blocking one
        found = asyncio.run(examined(self.url))
        return [each.to_do for each in found if each.about == about and each.grade is not Grade.OK]

    @pytest.mark.parametrize("member", ODD_MEMBERS.values(), ids=ODD_MEMBERS)
    async def test_odd_members_of_groups_are_passed_over(
        self, broker: RedisBroker, member: bytes
    ) -> None:
        """The groups of real tasks are listed, page by page, and their tasks aggregated."""
        tasks = [a_task(group=group, due=NOW) for group in ("a", "m", "z")]
        await put(broker, *tasks)
        with self.server.client() as client:
            client.zadd(GROUPS, {member: 0})
        assert self.remedies("leftovers")
        names: list[str] = []
        while page := await broker.groups("default", 1, after=names[-1] if names else ""):
            names += [group.name for group in page]
        assert names == ["a", "m", "z"]
        for group, task in zip(names, tasks, strict=True):
            members = await broker.members("default", group, 10)
            assert [each.id for each in members] == [task.id]
            answer = await broker.aggregate("default", group, [task.id], a_task(), now=NOW)
            assert isinstance(answer, Enqueued)
        assert await broker.groups("default", 10) == []

    async def test_an_endless_moment_of_a_group_is_long_ago(self, broker: RedisBroker) -> None:
        """Its tasks are aggregated at once, rather than never."""
        await put(broker, task := a_task(group="a", due=NOW))
        self.server.cli("ZADD", AGGREGATING, "inf", task.id)
        [group] = await broker.groups("default", 10)
        assert (group.first, group.last) == (0.0, 0.0)

    @pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
    async def test_odd_names_in_the_registry_are_passed_over(
        self, broker: RedisBroker, name: bytes
    ) -> None:
        """The queues are counted; the doctor names what is there, and how to be rid of it."""
        await put(broker, a_task())
        with self.server.client() as client:
            client.sadd("qcore:queues", name)
        assert await broker.count() == {"default": {State.PENDING: 1}}
        [remedy] = self.remedies("namespace")
        assert remedy.startswith('SREM qcore:queues "')

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_a_version_that_is_none_is_named(self, broker: RedisBroker, version: str) -> None:
        """It is not taken for that of a newer qcore; what to do helps."""
        await self.spoilt(broker, "version", version)
        assert f"HSET {META} version 2" in await self.raised(broker)
        assert self.remedies("queues") == [f"HSET {META} version 2"]
        self.server.cli("HSET", META, "version", "2")
        assert "before" in ids(await take(broker))

    @pytest.mark.parametrize("whole", [False, True], ids=["the version", "all of it"])
    async def test_a_meta_that_is_missing_is_named(self, broker: RedisBroker, whole: bool) -> None:  # noqa: FBT001
        """Its keys may be somebody else's, and are more likely ours; what to do helps."""
        await self.spoilt(broker, "version", None)
        if whole:
            self.server.cli("DEL", META)
        assert f"HSET {META} version 2 mends it" in await self.raised(broker)
        [remedy] = self.remedies("queues")
        assert remedy.startswith(f"if qcore made them: HSET {META} version 2;")
        self.server.cli("HSET", META, "version", "2")
        await put(broker, a_task(id="after"))
        assert {*ids(await take(broker))} == {"before", "after"}

    @pytest.mark.parametrize("sequence", SEQUENCES)
    async def test_a_sequence_that_is_none_is_named(
        self, broker: RedisBroker, sequence: str
    ) -> None:
        """Nothing is written half; what to do helps."""
        await self.spoilt(broker, "sequence", sequence)
        remedy = f"HSET {META} sequence 1000000000000"
        assert f"Until {remedy} the queue cannot be used" in await self.raised(broker)
        assert self.remedies("queues") == [remedy]
        self.server.cli(*remedy.split())
        await put(broker, a_task(id="after"))
        assert [*ids(await take(broker))] == ["before", "after"]

    @pytest.mark.parametrize("token", TOKENS)
    async def test_a_token_that_is_none_is_as_good_as_none(
        self, broker: RedisBroker, token: str
    ) -> None:
        """The next ones are greater than the time, whichever way they are claimed."""
        await self.spoilt(broker, "token", token)
        last = token_floor(NOW)
        for number in (1, 3):
            if number > 1:
                await put(broker, *(a_task() for _ in range(number)))
            claims = await take(broker)
            assert len(claims) == number
            tokens = [last, *(claim.lease.token for claim in claims)]
            assert tokens == sorted(set(tokens))
            last = tokens[-1]

    @pytest.mark.parametrize("limits", LIMITS)
    async def test_limits_that_are_none_limit_nothing(
        self, broker: RedisBroker, limits: str
    ) -> None:
        """The queue is served, and a worker may ask when the next task may start."""
        await self.spoilt(broker, "limits", limits)
        await broker.next_due(["default"])
        await broker.limits(["default"])
        assert ids(await take(broker)) == ["before"]
