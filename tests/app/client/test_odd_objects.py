"""What objects of a caller do when they are asked keeps no task out but their own."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from qcore import Context, Handle, InvalidTask
from qcore.answers import Refused
from tests.app.kit import Lab

METHODS: Final = (
    *("__repr__", "__str__", "__eq__", "__hash__", "__bool__", "__len__", "__iter__"),
    *("__getattribute__", "__class__", "__contains__", "__format__", "model_dump"),
)
BASES: Final = (object, str, int, float, dict, list, set)
KINDS: Final = (ValueError, SystemExit)
OPTIONS: Final = (
    *("headers", "tags", "delay", "at", "expires", "timeout", "deadline", "priority", "max_retry"),
    *("task_id", "queue", "group", "backoff", "retention", "unique_key", "on_duplicate"),
)


def odd_objects(method: str) -> Iterator[Any]:
    """Yield objects of which one method raises."""
    for base in BASES:
        for kind in KINDS:

            def raises(*_: object, kind: type[BaseException] = kind, **__: object) -> Any:
                raise kind("odd")

            made = {method: property(raises) if method == "__class__" else raises}
            try:
                yield type("Odd", (base,), made)()
            except KINDS:
                # such a class makes no objects at all
                continue


class Shop(Lab):
    """A queue with tasks of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self.any = self.task("mail")(self._any)
        self.whole = self.task("mail:whole")(self._whole)
        self.unique = self.task("mail:unique", unique_for=60)(self._unique)
        self.open = self.task("mail:open")(self._open)

    async def _any(self, ctx: Context, to: Any) -> None: ...

    async def _whole(self, ctx: Context, to: int) -> None: ...

    async def _unique(self, ctx: Context, to: Any) -> None: ...

    async def _open(self, ctx: Context, **to: Any) -> None: ...

    async def offer(self, request: Any, *, named: str = "mail") -> None:
        """Enqueue a request between two others, which must go in; a refusal names something."""
        first, answer, last = await self.client.enqueue_many(
            [self.any.call(to=1), request, self.any.call(to=2)]
        )
        assert isinstance(first, Handle)
        assert isinstance(last, Handle)
        if isinstance(answer, Refused):
            self.refused += 1
            assert named in str(answer.error)


@pytest.mark.parametrize("method", METHODS)
async def test_an_argument_may_raise_anything_when_it_is_asked(method: str) -> None:
    """Its task is refused or goes in, and the others of its batch go in."""
    shop = Shop()
    for odd in odd_objects(method):
        for to in (odd, [odd], {"key": odd}, (1, odd)):
            await shop.offer(shop.any.call(to))
            await shop.offer(shop.whole.call(to))
            await shop.offer(shop.unique.call(to=to))
            await shop.offer(shop.open.call(to=to))
    assert shop.refused


@pytest.mark.parametrize("method", METHODS)
async def test_an_option_may_raise_anything_when_it_is_asked(method: str) -> None:
    """It is refused by name, where it is given or with its task."""
    shop = Shop()
    for odd in odd_objects(method):
        for name in OPTIONS:
            options: Any = {name: [odd] if name == "tags" else odd}
            try:
                request = shop.any.using(**options).call(to=1)
            except InvalidTask as error:
                assert name in str(error) or "mail: " in str(error)  # noqa: PT017  (most go on)
            else:
                await shop.offer(request, named="")
    assert shop.refused


@pytest.mark.parametrize("method", METHODS)
async def test_a_request_may_raise_anything_when_it_is_asked(method: str) -> None:
    """What is no request is refused, whatever it does."""
    shop = Shop()
    for odd in odd_objects(method):
        await shop.offer(odd, named="")
    assert shop.refused


async def test_a_value_that_cannot_be_shown_is_named_by_its_class() -> None:
    """The message about it is the same as about any other."""

    class Odd:
        def __repr__(self) -> str:
            raise SystemExit(3)

    lab = Shop()
    odd: Any = Odd()
    with pytest.raises(InvalidTask) as refused:
        await lab.any.using(delay=odd).enqueue(to=1)
    text = "delay is <Odd, whose repr raises SystemExit>: expected seconds or a timedelta"
    assert str(refused.value) == text
    assert refused.value.__cause__ is None
