import re
from typing import Any

import pytest

from qcore import (
    Context,
    State,
)
from qcore.testing import a_task
from qcore.testing.build import NOW
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
            ({"payload": b'{"to":1,"cc":2}'}, "cc"),
            ({"payload": b"\xff\xfe"}, "CannotDecode"),
            ({"payload": b'{"to":1}', "content_type": "text/x"}, "'text/x'"),
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
