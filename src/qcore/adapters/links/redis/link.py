"""The link to Redis: everything between a broker and its server.

Theory of operation
===================

Layers. A broker calls a `RedisLink` (this file), the link a `Transport`, the transport one or more
pools, a pool its connections. The transport is chosen by the URL's scheme: a `Pool` to one server
(`pool`), a pool to whichever master the Sentinels name (`sentinel`), or a pool to each node and a
map of hash slots (`cluster`). `factory` puts the layers together from an `Address` (`url`,
`address`), which also makes the settings of every connection.

Asynchronous and blocking. All methods are coroutines. Over an `AsyncPool` they await sockets; over
a `SyncPool` they block in them and never suspend, so that callers without an event loop finish a
coroutine in one `send(None)`. `RedisLink.blocking()` returns a second link to the same server on
blocking connections; the two share the server's clock, and leave a server together. Connections
belong to one event loop, or to one process: a pool keeps them per loop, and a forked child starts
with none.

Pipelining. `exchange` sends all commands of a call on one connection and then reads the replies in
order. Requests are made as they are sent, so Redis works on the first while Python encodes the
rest. A cluster gets one pipeline per node, all of them sent before the first reply is read.

Retries. Only the link sends a command again; connections and pools never do. Within `timeout`
seconds it does so, with jittered backoff, for what has no reply yet, if the error is transient.
Before that it leaves a server that did not answer, or says that it is not the one to ask: then the
next attempt goes over a new connection, to whichever server is named by then (`retries`,
`failover`).
Whether the first attempt was executed cannot be known, so a repeated call tells the script that it
is one (`again`), and the scripts remember the replies of calls they have executed. A server that
does not know a script is sent its text, once.

Durability. With `replicas=` or `fsync=`, WAIT or WAITAOF follow a durable call on the same
connection, as both count the writes of their own connection (`durability`). If one of them has to
be sent again, the writes are too.

Time. TIME is asked for when the link opens, when it has left a server, and every few seconds while
there are calls; between replies the server's clock is the local monotonic one plus an offset
(`clock_sync`). What the server is, INFO tells with the first two, and once a minute. While that is
known, TIME goes with the next call's own pipeline: the claim of a worker that was idle would else
wait for one more round trip every few seconds.

Messages. A listener has a connection of its own, subscribed to channels (`pubsub`): a task on the
loop, or a thread for a blocking link. No exception ends it: it reconnects with backoff, wherever
messages are by then, and calls back after every connection, as messages may have been missed. It
also reconnects once commands have arrived at another server, and while it hears nothing it has a
write tried every now and then, to find out that they have to.

Errors. Connections raise redis-py's exceptions and the system's; a failed attempt to connect is a
`ConnectFailed`, so that what was never sent is known from what was lost. Error replies take the
place of replies. The link maps them all to `BrokerUnavailable` (transient) or `BrokerUnusable`
(somebody has to act), with advice: by the reply's code (`server_errors`), or by exception type and
errno (`connection_errors`). What concerns a single request, as that it is too large, is a
`BrokerRefused`: it is not sent again, and the others of its pipeline are (`refusals`).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Final
from weakref import WeakSet

from redis.exceptions import RedisError

from qcore.adapters.links.clock_sync import monotonic
from qcore.adapters.links.redis.address import DEFAULT_TIMEOUT, Address
from qcore.adapters.links.redis.discovery import discover
from qcore.adapters.links.redis.durability import Durability
from qcore.adapters.links.redis.errors import is_transient, mapped
from qcore.adapters.links.redis.failover import Failover
from qcore.adapters.links.redis.interfaces import OnConnected, OnMessage, Script, ScriptCall
from qcore.adapters.links.redis.pool import Request, Transport
from qcore.adapters.links.redis.pubsub import CHECK_AFTER, ChannelListener, ListenerFactory
from qcore.adapters.links.redis.resp import Arg, RedisCommand, Reply
from qcore.adapters.links.redis.retries import MISSING, RequestFactory, Retries, raise_refusal
from qcore.adapters.links.redis.script_requests import (
    FirstAttempt,
    LazyRequests,
    first_requests,
    has_errors,
    script_requests,
)
from qcore.adapters.links.redis.sentinel import SentinelTransport
from qcore.adapters.links.redis.server_info import is_replica, refuse_unfit
from qcore.adapters.links.redis.topology import Topology
from qcore.domain.errors import BrokerUnavailable, QcoreError
from qcore.domain.moments import LAST_MOMENT, Moment

MEET_EVERY: Final = 60.0
"""Seconds after which a server that is asked for its time is also asked whether it will do."""
TIME: Final[Request] = (None, ("TIME",))
INFO: Final[Sequence[Request]] = [(None, ("INFO", "server")), (None, ("INFO", "replication"))]


class RedisLink:
    """Scripts and commands over a transport; each call takes at most `timeout` seconds in all."""

    def __init__(
        self,
        transport: Transport,
        *,
        shown: str,
        make_listener: ListenerFactory,
        make_blocking: "Callable[[Failover], RedisLink] | None" = None,
        is_multi_slot: bool = True,
        timeout: float = DEFAULT_TIMEOUT,
        durability: Durability | None = None,
        failover: Failover | None = None,
        address: Address | None = None,
    ) -> None:
        self.shown = shown
        self._address = address
        self.is_multi_slot = is_multi_slot
        self._transport = transport
        self._sentinels = transport if isinstance(transport, SentinelTransport) else None
        self._make_listener = make_listener
        self._listeners: WeakSet[ChannelListener] = WeakSet()
        self._make_blocking = make_blocking
        self._timeout = timeout
        # not less than the clocks of a cluster's nodes may differ by
        self._retried_for = max(timeout, DEFAULT_TIMEOUT)
        self._durability = durability or Durability()
        self.waits_for_durability = self._durability.is_requested
        """Whether a durable call waits for replicas or disks."""
        self._failover = failover or Failover()
        self._failover.join(self)
        self._retries = Retries(transport, self._failover, shown=shown)
        self._clock = self._failover.clock
        self._is_open = False
        self._met_at = 0.0
        self._met_after = 0
        """How many departures there had been when the server was met."""
        self._left_replica_at = -inf
        self._checked_at = 0.0
        # an attribute, not a method: called twice a task
        self.time: Callable[[], Moment] = self._clock.now

    async def open(self) -> None:
        """Connect, and ask the server for its time; raise at once where that fails."""
        await self._meet_server([TIME, *INFO])
        self._is_open = True

    async def _meet_server(self, questions: Sequence[Request]) -> None:
        try:
            await self._ask(questions)
        except BaseException:
            await self._transport.close()
            raise

    async def _ask(self, questions: Sequence[Request]) -> None:
        replies: list[Reply | Exception] = []
        sent, departures = monotonic(), self._failover.departures
        try:
            await self._transport.exchange(questions, replies)
        except (RedisError, OSError) as error:
            raise mapped(error, self.shown, new=True) from error
        time, *infos = replies
        if isinstance(time, Exception):
            raise mapped(time, self.shown, new=True) from time
        self._take_time(time, sent)
        if infos:
            self._met_at, self._met_after = sent, departures
            self._judge(*infos)

    def _judge(self, info: Reply | Exception, replication: Reply | Exception) -> None:
        """Refuse a server that will not do, leave one that is a replica, arrive at any other."""
        # a user may lack the permission for INFO, and be served all the same
        if isinstance(info, bytes):
            refuse_unfit(info, self.shown, cluster=not self.is_multi_slot)
            self._durability.refuse_unfit(info, self.shown)
        if not isinstance(replication, bytes) or not is_replica(replication):
            self._failover.arrive(self._met_after)
        elif self._met_at - self._left_replica_at >= MEET_EVERY:
            # it may have been a master; to those who only read it would never say so. If a new
            # connection leads to a replica as well, its user has named one
            self._left_replica_at = self._met_at
            self._failover.leave(self._met_after)

    async def _ask_again(self) -> None:
        """Ask the server for its time, and whether it will do if it may be another one by now."""
        await self._leave_if_replaced()
        is_met = self._met_after == self._failover.departures
        is_known = is_met and monotonic() - self._met_at < MEET_EVERY
        await self._meet_server([TIME] if is_known else [TIME, *INFO])

    async def _leave_if_replaced(self) -> None:
        """Leave a master in whose place Sentinels name another one, though it takes writes."""
        departures = self._failover.departures
        if self._sentinels is not None and await self._sentinels.has_moved():
            self._failover.leave(departures)

    def drop_connections(self) -> None:
        """Close the connections for commands, and forget where servers are; from any thread."""
        self._transport.leave()

    def renew_subscriptions(self) -> None:
        """Subscribe anew; from any thread."""
        for listener in tuple(self._listeners):
            listener.renew()

    async def close(self) -> None:
        """Disconnect, and stop listening; a later call connects again."""
        self._is_open = False
        for listener in tuple(self._listeners):
            await listener.close()
        await self._transport.close()

    async def topology(self) -> Topology:
        """Return the servers here; raise as `open` does where a cluster does not name them."""
        return await discover(self._transport, self.shown, self._address)

    def blocking(self) -> "RedisLink":
        """Return a link to the same Redis that never suspends."""
        return self if self._make_blocking is None else self._make_blocking(self._failover)

    async def listen(
        self,
        channels: Sequence[str],
        on_connected: OnConnected,
        on_message: OnMessage,
        *,
        check: RedisCommand | None = None,
    ) -> ChannelListener:
        """Call `on_message` for each message to these, `on_connected` after each connection.

        Messages published while there is no connection are lost. `check` is a write that changes
        nothing, tried while there are no messages.
        """

        async def check_writes() -> None:
            if check is not None:
                await self._check(check)

        listener = self._make_listener(
            self._transport, channels, on_connected, on_message, check_writes
        )
        self._listeners.add(listener)
        error = await listener.start(self._timeout)
        if error is not None and not is_transient(error, self.shown):
            await listener.close()
            raise mapped(error, self.shown) from error
        return listener

    async def _check(self, command: RedisCommand) -> None:
        """Make a call, so that a server that takes no writes is left; once for all listeners."""
        now = monotonic()
        if self._is_open and now - self._checked_at > CHECK_AFTER / 2:
            self._checked_at = now
            # whoever has something to do there will be told
            with suppress(QcoreError):
                await self._leave_if_replaced()
                await self.command(*command)

    def retry_deadline(self) -> Moment:
        """Return until when, by the server's clock, a call made now may be sent again."""
        return self._clock.now() + self._retried_for if self._clock.is_known else LAST_MOMENT

    async def command(self, *args: Arg) -> Reply:
        """Send a command that may be executed twice; return its reply."""
        key = str(args[1]) if len(args) > 1 else None
        (reply,) = await self._execute(1, lambda _n, _again, _text: (key, args))
        return reply

    async def run_one(
        self, script: Script, keys: Sequence[str], number: int, args: Sequence[Arg], encoded: bytes
    ) -> Reply:
        """Call a script once, and return its reply: as `run` does, in half of the time.

        `encoded` is the call, by the script's `call_format`.
        """
        began, departures = monotonic(), self._failover.departures
        if self._clock.is_stale_at(began) or not self._is_open:
            (reply,) = await self.run(script, [ScriptCall(keys, args, number)])
            return reply
        attempt: FirstAttempt
        try:
            reply = await self._transport.ask((keys[0], encoded))
        except (RedisError, OSError) as error:
            attempt = 1, (), error, began, departures
        else:
            if not isinstance(reply, Exception):
                return reply
            attempt = 1, (reply,), None, began, departures
        request = script_requests(script, [ScriptCall(keys, args, number)])
        (reply,) = await self._complete(attempt, request)
        return reply

    async def run(
        self,
        script: Script,
        calls: Sequence[ScriptCall],
        *,
        durable: bool = False,
        partial: bool = False,
    ) -> list[Reply]:
        """Call a script, all calls in one pipeline; return the replies in order."""
        request = script_requests(script, calls)
        if not (durable and self.waits_for_durability):
            return await self._execute(len(calls), request, partial=partial)
        checks = [check for call in calls for check in self._durability.checks(call.keys[0])]

        def request_or_check(n: int, again: int, with_text: bool) -> Request:  # noqa: FBT001
            is_call = n < len(calls)
            return request(n, again, with_text) if is_call else checks[n - len(calls)].request

        replies = await self._execute(len(calls) + len(checks), request_or_check, together=True)
        for check, reply in zip(checks, replies[len(calls) :], strict=True):
            check.refuse(reply, self.shown)
        return replies[: len(calls)]

    async def _execute(
        self,
        number: int,
        request: RequestFactory,
        *,
        together: bool = False,
        partial: bool = False,
    ) -> list[Reply]:
        """Return the replies to some requests; send those again whose reply is missing.

        With `together` all are sent again if one is: WAIT counts the writes of its own connection.
        With `partial` an error takes the place of a reply that did not arrive. A `BrokerRefused` is
        raised when all others have their replies.
        """
        if not number:
            return []
        if not self._is_open:
            await self.open()
        began, departures = monotonic(), self._failover.departures
        answers: list[Reply] = []
        failure: Exception | None = None
        # not by `_attempt`: where all replies arrive at once, as usual, they are in order
        try:
            if self._clock.is_old(began) and not together and self._may_ask_along(began):
                await self._exchange_with_time(request, number, answers)
            else:
                await self._transport.exchange(first_requests(request, number), answers)
        except (RedisError, OSError) as error:
            failure = error
        if failure is not None or has_errors(answers):
            attempt = number, answers, failure, began, departures
            return await self._complete(attempt, request, together=together, partial=partial)
        await self._renew_time()
        return answers

    async def _complete(
        self,
        attempt: FirstAttempt,
        request: RequestFactory,
        *,
        together: bool = False,
        partial: bool = False,
    ) -> list[Reply]:
        """Send again what has no reply after the first attempt; return the replies."""
        number, replies, failure, began, departures = attempt
        ends, answers = began + self._timeout, [MISSING] * number
        failure = self._retries.place(replies, range(number), answers, failure)
        try:
            await self._retries.run(
                failure, request, answers, together=together, ends=ends, departures=departures
            )
        except QcoreError as error:
            if not partial:
                raise
            answers = [error if answer is MISSING else answer for answer in answers]
        if not partial:
            raise_refusal(answers)
        await self._renew_time()
        return answers

    async def _renew_time(self) -> None:
        if self._clock.is_stale:
            # the call itself has succeeded
            with suppress(BrokerUnavailable):
                await self._ask_again()

    def _may_ask_along(self, now: float) -> bool:
        """Return whether TIME alone is to be asked, and of the one server there is."""
        is_one = self.is_multi_slot and self._sentinels is None
        is_met = self._met_after == self._failover.departures
        return is_one and is_met and now - self._met_at < MEET_EVERY

    async def _exchange_with_time(
        self, request: RequestFactory, number: int, answers: list[Reply]
    ) -> None:
        """Exchange requests, and TIME behind them, whose reply is not among the answers."""
        sent = monotonic()
        try:
            await self._transport.exchange(LazyRequests(request, number, (TIME,)), answers)
        except (RedisError, OSError):
            if len(answers) < number:
                raise
        told: Reply | Exception = answers.pop() if len(answers) > number else None
        # where it was lost or refused, the server is asked in a call of its own
        if told is not None and not isinstance(told, Exception):
            self._take_time(told, sent)

    def _take_time(self, told: Sequence[bytes], sent: float) -> None:
        seconds, microseconds = told
        self._clock.update(int(seconds) + int(microseconds) / 1e6, sent, monotonic())
