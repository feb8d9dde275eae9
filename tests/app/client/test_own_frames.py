"""Tracebacks that show the variables of each frame show none of ours that hold arguments."""

import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import pytest

from qcore import Context, InvalidTask, Qcore
from qcore.app.client.own_frames import without_own_frames
from qcore.domain.errors import BrokerUnavailable, CannotEncode
from qcore.types import Handler

SECRET = "hunter" + "2"
REFUSED = r"cannot use|nothing listens"


def told(error: BaseException) -> Iterator[str]:
    """Yield the variables of all frames but those of this file, of an error and what led to it."""
    link: BaseException | None = error
    while link is not None:
        trace: TracebackType | None = link.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename != __file__:
                yield from (
                    f"{name} = {value!r}" for name, value in trace.tb_frame.f_locals.items()
                )
            trace = trace.tb_next
        link = link.__cause__ or link.__context__


def sender(url: str) -> Handler[..., Any, Any]:
    """Return a handler whose arguments are secret."""
    q = Qcore(url)

    @q.task("send")
    async def send(ctx: Context, password: str, n: int = 0) -> None: ...

    return send


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "sqlite:////nowhere/q.db"])
async def test_an_error_of_the_store_shows_no_arguments(url: str) -> None:
    """Awaiting, blocking, and of many at once."""
    send = sender(url)
    calls: list[Callable[[], Any]] = [
        lambda: send.enqueue(SECRET),
        lambda: send.using(unique_for=9, headers={"a": SECRET}).enqueue(password=SECRET),
        lambda: send.sender.client.enqueue_many([send.call(SECRET)]),
    ]
    for call in calls:
        with pytest.raises(Exception, match=REFUSED) as caught:
            await call()
        assert not [each for each in told(caught.value) if SECRET in each]
    with pytest.raises(Exception, match=REFUSED) as caught:
        send.enqueue_sync(SECRET)
    assert not [each for each in told(caught.value) if SECRET in each]
    await send.sender.client.close()


async def test_an_error_after_the_task_was_built_shows_no_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are the caller's own, or those of a chain, with the arguments of its later steps."""

    async def refuse(*_: object, **__: object) -> None:
        raise BrokerUnavailable("away")

    send = sender("memory://")
    monkeypatch.setattr(send.sender.client.broker, "enqueue", refuse)
    for call in (
        send.using(headers={"a": SECRET}).enqueue(SECRET),
        send.sender.client.enqueue_many([send.using(headers={"a": SECRET}).call(SECRET)]),
    ):
        with pytest.raises(BrokerUnavailable) as caught:
            await call
        assert not [each for each in told(caught.value) if SECRET in each]


@pytest.mark.parametrize(
    "arguments", [{"n": object()}, {"n": [SECRET, object()]}, {"colour": 1}], ids=str
)
async def test_an_error_about_arguments_shows_no_others(arguments: dict[str, Any]) -> None:
    """What is wrong is named in the message; the rest is nobody's to see."""
    send = sender("memory://")
    with pytest.raises(InvalidTask) as caught:
        await send.enqueue(SECRET, **arguments)
    assert not [each for each in told(caught.value) if SECRET in each]
    [refused] = await send.sender.client.enqueue_many([send.call(SECRET, **arguments)])
    error: BaseException = refused.error  # type: ignore[union-attr]
    assert not [each for each in told(error) if SECRET in each]


def test_what_led_to_an_error_keeps_the_frames_of_others() -> None:
    """Of code that we have called, and of an error that was being handled before."""

    def encode() -> None:
        raise ValueError("odd")

    try:
        {}["of the application"]
    except LookupError as before:
        try:
            encode()
        except ValueError as cause:
            error = CannotEncode("no")
            error.__cause__ = cause
        assert without_own_frames(error) is error
        lines = "".join(traceback.format_exception(error))
        assert "in encode" in lines
        trace = before.__traceback__
    assert trace is not None


def test_an_environment_with_a_wrong_url_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has none, and neither has any variable."""
    monkeypatch.setenv("QCORE_URL", f"redis://user:{SECRET}@127.0.0.1:99999/0")
    with pytest.raises(ValueError, match="port") as caught:
        Qcore()
    assert SECRET not in str(caught.value)
    assert not [each for each in told(caught.value) if SECRET in each]


async def test_a_store_that_cannot_be_opened_shows_no_password() -> None:
    """Nor does what a worker raises."""
    q = Qcore(f"redis://user:{SECRET}@127.0.0.1:1/0")
    for call in (q.open, lambda: q.worker().run(), q.inspector.counts):
        with pytest.raises(BrokerUnavailable) as caught:
            await call()
        assert not [each for each in told(caught.value) if SECRET in each]
    await q.close()
