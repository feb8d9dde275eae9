import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.connection_base import ConnectionSettings
from qcore.adapters.links.redis.pool import AsyncPool, Request, SyncPool
from qcore.adapters.links.redis.resp import (
    BATCH_BYTES,
    Arg,
    Reply,
    command_format,
    encode,
    encode_batched,
)
from qcore.adapters.links.redis.sync_connection import sync_connection
from qcore.adapters.redis import enqueue
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.testing.builders import a_task
from qcore.testing.contract.base import step
from qcore.testing.contract.steps import put
from tests.adapters.redis_kit import broker_at
from tests.servers.redis import HOST, RedisServer
from tests.servers.waiting import until

MANY = 600
"""More than go into one call."""


class Requests:
    """Commands that are made when they are asked for, by calls in order."""

    def __init__(self, *make: Callable[[], tuple[Arg, ...]]) -> None:
        self.make = make

    def __len__(self) -> int:
        return len(self.make)

    def __iter__(self) -> Iterator[Request]:
        return ((None, make()) for make in self.make)


def blocking(port: int, *asked: Requests) -> list[Reply | Exception]:
    """Exchange requests, one bunch after the other, over connections that block."""
    pool = SyncPool(lambda: sync_connection(ConnectionSettings(host=HOST, port=port)))
    answers: list[Reply | Exception] = []
    for requests in asked:
        try:
            step(pool.exchange(requests, answers))
        except ZeroDivisionError as error:
            answers.append(error)
    step(pool.close())
    return answers


def awaiting(port: int, *asked: Requests) -> list[Reply | Exception]:
    """Exchange requests, one bunch after the other, over connections that await."""

    async def exchange() -> list[Reply | Exception]:
        pool = AsyncPool(lambda: AsyncSocketConnection(ConnectionSettings(host=HOST, port=port)))
        answers: list[Reply | Exception] = []
        for requests in asked:
            try:
                await pool.exchange(requests, answers)
            except ZeroDivisionError as error:
                answers.append(error)
        await pool.close()
        return answers

    return asyncio.run(exchange())


both_colours = pytest.mark.parametrize("exchange", [blocking, awaiting])
Exchange = Callable[..., list[Reply | Exception]]


@both_colours
def test_redis_begins_while_the_next_command_is_made(
    exchange: Exchange, empty_redis: RedisServer
) -> None:
    """What is large does not wait for what comes behind it."""

    def after_the_first() -> tuple[Arg, ...]:
        until(lambda: empty_redis.cli("STRLEN", "first") == BATCH_BYTES, "the first to be there")
        return "SET", "second", "x"

    requests = Requests(lambda: ("SET", "first", "x" * BATCH_BYTES), after_the_first)
    assert exchange(empty_redis.port, requests) == [b"OK", b"OK"]


@both_colours
def test_a_command_that_cannot_be_made_takes_its_connection_along(
    exchange: Exchange, empty_redis: RedisServer
) -> None:
    """Nobody else is given the answers to what went before it."""
    broken = Requests(lambda: ("ECHO", "x" * BATCH_BYTES), lambda: ("ECHO", str(1 // 0)))
    first, second = exchange(empty_redis.port, broken, Requests(lambda: ("ECHO", "mine")))
    assert isinstance(first, ZeroDivisionError)
    assert second == b"mine"


words = st.lists(st.one_of(st.integers(), st.text(max_size=9), st.binary(max_size=9)), min_size=1)
large_ones = st.sampled_from(
    [("SET", "key", b"x" * size) for size in (BATCH_BYTES // 2, BATCH_BYTES, 3 * BATCH_BYTES)]
)


@given(st.lists(st.one_of(words.map(tuple), large_ones), max_size=9))
def test_commands_go_over_the_wire_in_order_and_small_ones_together(
    commands: list[tuple[Arg, ...]],
) -> None:
    """Nothing is lost between pieces, and no piece is small but the last."""
    sent = [*encode_batched(commands)]
    assert b"".join(sent) == b"".join(encode(commands))
    assert all(len(piece) >= BATCH_BYTES for piece in sent[:-1])


@given(words, st.data())
def test_a_command_whose_words_are_filled_in_is_the_command(words: list[Arg], data: Any) -> None:
    """Whatever the other words have in them, percent signs too."""
    varies = data.draw(st.sets(st.integers(0, len(words) - 1)))
    command = ["%d%%s%", *words]
    form = command_format([None if n - 1 in varies else word for n, word in enumerate(command)])
    filled = [_bytes(words[n]) for n in sorted(varies)]
    sent = form % tuple(each for word in filled for each in (len(word), word))
    assert [sent] == encode([tuple(command)])


def _bytes(word: Arg) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


async def test_a_large_batch_is_encoded_while_redis_stores_what_was_sent(
    empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of its tasks are there before the last is put into bytes."""
    broker = broker_at(empty_redis.url)
    await put(broker, a_task())
    tasks = [a_task(payload=b"x" * 100) for _ in range(MANY)]
    encode_task = enqueue.encode_task

    def watched(task: NewTask, now: float) -> bytes:
        if task is tasks[-1]:
            until(lambda: empty_redis.cli("HLEN", "qcore:{default}:tasks") > 1, "some tasks")
        return encode_task(task, now)

    monkeypatch.setattr(enqueue, "encode_task", watched)
    await put(broker, *tasks)
    assert await broker.count() == {"default": {State.PENDING: MANY + 1}}
    await broker.close()


@pytest.mark.parametrize(
    "large",
    [{"payload": b"x" * 300_000}, {"headers": {"a": "é" * 150_000}}],
    ids=["payload", "headers"],
)
async def test_no_call_tells_of_more_than_half_a_mebibyte(
    empty_redis: RedisServer, large: dict[str, Any]
) -> None:
    """Two of 300 kB take a call each: the server would be long at both."""
    broker = broker_at(empty_redis.url)
    await put(broker, a_task())
    empty_redis.cli("CONFIG", "RESETSTAT")
    await put(broker, *(a_task(**large) for _ in range(3)))
    stats = empty_redis.cli("INFO", "commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 3
    await broker.close()
