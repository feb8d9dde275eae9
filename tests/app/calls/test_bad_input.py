import re
from datetime import UTC, datetime
from typing import Any

import pytest

from qcore import Context, Handle, InvalidOption, InvalidTask, State
from qcore.answers import Refused
from qcore.testing import a_task
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"payload": b'{"to":'}, "truncated"),
            ({"payload": b"[]"}, "object"),
            ({"payload": b'{"to":"seven"}'}, r"\$\.to"),
            ({"payload": b"{}"}, "to"),
            ({"payload": b"\xff\xfe"}, "CannotDecode"),
        ],
    )
    async def test_what_does_not_fit_is_dead_and_the_worker_goes_on(
        self, lab: Lab, options: dict[str, Any], why: str
    ) -> None:
        """A stored payload that no handler can take is dead with the reason; the next one runs."""
        ran: list[int] = []

        @lab.task("mail")
        async def mail(ctx: Context, to: int) -> None:
            ran.append(to)

        bad = await lab.client.enqueue(a_task(name="mail", **options))
        await mail.enqueue(7)
        await lab.run_due()
        task = await stored(bad)
        assert (task.state, task.failures, ran) == (State.DEAD, 0, [7])
        assert task.error is not None
        assert re.search(why, task.error)

    async def test_a_deadline_that_has_passed_is_not_started(self, lab: Lab) -> None:
        """A task whose deadline passed while it waited is dead, and says so."""

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            raise AssertionError

        handle = await mail.using(deadline=NOW + 5).enqueue()
        lab.manual.advance(5)
        await lab.run_due()
        task = await stored(handle)
        assert task.state is State.DEAD
        assert task.error == "its deadline passed before it could run"

    async def test_a_retry_after_the_deadline_is_not_waited_for(self, lab: Lab) -> None:
        """A run that fails at its deadline is the last."""

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            lab.manual.advance(10)
            raise ValueError("x")

        handle = await mail.using(deadline=NOW + 5).enqueue()
        await lab.run_due()
        task = await stored(handle)
        assert task.state is State.DEAD
        assert task.error == "its deadline passed; ValueError: x"


class TestOddInput:
    async def test_a_generator_of_calls_goes_in_whole(self, lab: Lab) -> None:
        """Each is asked for once, and answered."""

        @lab.task("mail")
        async def mail(ctx: Context, n: int) -> None: ...

        answers = await lab.client.enqueue_many(mail.call(n=n) for n in range(3))
        assert len(answers) == 3
        assert await lab.inspector.totals() == {State.PENDING: 3}

    @pytest.mark.parametrize("odd", ["mail", None, 7])
    async def test_what_is_no_task_is_refused(self, lab: Lab, odd: Any) -> None:
        """The error says what was expected; the others of a batch go in."""
        with pytest.raises(InvalidTask, match=re.escape(f"{odd!r} is no task")):
            await lab.client.enqueue(odd)
        refused, good = await lab.client.enqueue_many([odd, a_task()])
        assert isinstance(refused, Refused)
        assert isinstance(good, Handle)

    @pytest.mark.parametrize(
        "options",
        [
            {"headers": ["a"]},
            {"headers": "abc"},
            {"timeout": "5"},
            {"due": datetime(2027, 1, 1, tzinfo=UTC)},
            {"retention": None},
            {"deadline": True},
        ],
    )
    def test_a_value_of_a_wrong_type_is_refused_by_name(self, options: Any) -> None:
        """Whatever an untyped caller passes."""
        (name,) = options
        with pytest.raises(InvalidTask, match=f"^{name} is "):
            a_task(**options)

    @pytest.mark.parametrize("options", [{"lease": "30"}, {"grace": None}, {"sweep_every": "x"}])
    def test_a_setting_of_a_wrong_type_is_refused_by_name(self, lab: Lab, options: Any) -> None:
        """Whatever an untyped caller passes."""
        (name,) = options
        with pytest.raises(InvalidOption, match=f"^{name} is "):
            lab.worker(**options)

    async def test_a_thread_that_raises_generator_exit_has_failed(self, lab: Lab) -> None:
        """As any other error; its task is not left behind."""

        @lab.task("mail")
        def mail(ctx: Context) -> None:
            raise GeneratorExit

        handle = await mail.enqueue()
        await lab.run_due()
        assert await handle.status() is State.RETRY
