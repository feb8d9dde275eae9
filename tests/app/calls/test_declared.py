"""What is refused where a handler is declared, and what is right though it is no plain function."""

import functools
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Never,
    NoReturn,
    Optional,
    ParamSpec,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
)

import attrs
import pytest

from qcore import Context, InvalidOption, InvalidTask
from qcore.app.tasks.router import Router
from qcore.testing import drain
from tests.app.kit import Lab

P = ParamSpec("P")
T = TypeVar("T")
Narrow = TypeVar("Narrow", int, str)


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def add(ctx: Context, a: int, b: int) -> int:
    """Be a handler."""
    return a + b


class Service:
    """A callable object whose attributes have the names of a handler's own."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.name = self.kind = self.signature = self.sender = self.options = "the service's"

    async def __call__(self, ctx: Context, a: "int") -> int:
        """Be a handler."""
        return a + self.step

    def plain(self, ctx: Context, a: int) -> int:
        """Be a handler."""
        return a + self.step

    @classmethod
    async def made(cls, ctx: Context, a: int) -> int:
        """Be a handler."""
        return a + 9


class Plain:
    """A callable object that blocks."""

    def __call__(self, ctx: Context, a: int) -> int:
        """Be a handler."""
        return a + 9


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is wrapped as decorators do it."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


RIGHT: list[Callable[..., Any]] = [
    functools.partial(add, b=9),
    functools.partial(functools.partial(add, b=1), b=9),
    functools.partial(traced(add), b=9),
    Service(9),
    functools.partial(Service(9)),
    Service(9).plain,
    Service.made,
    Plain(),
    traced(Service(9).__call__),
    staticmethod(functools.partial(add, b=9)),
]


@pytest.mark.parametrize("function", RIGHT)
async def test_whatever_can_be_called_can_be_a_handler(
    lab: Lab, function: Callable[..., Any]
) -> None:
    """Given a name: its arguments are checked by the annotations of what is underneath."""
    task = lab.task("add", retention=60)(function)
    assert task.name == "add"
    handle = await task.enqueue(a=1)
    with pytest.raises(InvalidTask, match="add: a is 'one'"):
        await task.enqueue(a="one")
    await drain(lab)
    assert await handle.result() == 10


@pytest.mark.parametrize("function", [functools.partial(add, b=9), Service(9)])
def test_what_has_no_name_needs_one(lab: Lab, function: Any) -> None:
    """A partial or an object that is called has none that tasks could be called by."""
    with pytest.raises(InvalidOption, match=r"has no name of its own.*@q.task\('name'\)"):
        lab.task(function)


@pytest.mark.parametrize("odd", [5, None, classmethod(add)])
def test_what_cannot_be_called_is_no_handler(lab: Lab, odd: Any) -> None:
    """It has no parameters."""
    with pytest.raises(InvalidOption, match=r"the handler of 'add' is .*: expected a function"):
        lab.task("add")(odd)


def odd() -> list[Any]:
    """Return annotations that are no types."""
    return [
        5,
        "int |",
        "no_such_name",
        "sys.no_such_name",
        [int],
        {"a": int},
        print,
        P,
        P.args,
        Narrow,
        Self,
        Never,
        NoReturn,
        ClassVar[int],
        Final[int],
        str | bytes,
        list[5],  # type: ignore[valid-type]
    ]


@pytest.mark.parametrize("annotation", odd(), ids=str)
def test_an_annotation_that_is_no_type_is_refused_when_declared(lab: Lab, annotation: Any) -> None:
    """Or that no value can be read as; the error names the parameter."""

    async def mail(ctx: Context, first: int, what: Any) -> None: ...

    mail.__annotations__["what"] = annotation
    with pytest.raises(InvalidOption, match="the handler of 'mail': its parameter 'what' "):
        lab.task("mail")(mail)

    async def with_default(ctx: Context, first: int, what: Any = None) -> None: ...

    with_default.__annotations__["what"] = annotation
    with pytest.raises(InvalidOption, match="the handler of 'mail': its parameter 'what' "):
        lab.task("mail")(with_default)


def test_an_annotation_of_the_result_that_is_not_found_is_refused_too(lab: Lab) -> None:
    """It would be missed only when there is a result."""

    async def mail(ctx: Context) -> None: ...

    mail.__annotations__["return"] = "no_such_name"
    with pytest.raises(InvalidOption, match="its result is annotated with 'no_such_name'"):
        lab.task("mail")(mail)


@pytest.mark.parametrize(
    "annotation", [T, "T", None, Any, "Any", object, Optional["int"], "list[int]"]
)
def test_a_type_is_a_type_however_it_is_spelled(lab: Lab, annotation: Any) -> None:
    """A type variable without constraints is like no annotation."""

    async def mail(ctx: Context, what: Any) -> None: ...

    mail.__annotations__["what"] = annotation
    lab.task("mail")(mail)


MODULE = """
from __future__ import annotations
from typing import TYPE_CHECKING, TypedDict
import attrs
if TYPE_CHECKING:
    from qcore import Context

async def mail(ctx: Context, to: Address, by: other.Thing = None) -> None: ...
task = q.task("mail")(mail)

@attrs.define
class Address:
    city: str

if is_whole:
    class other:
        Thing = int
"""


class Spec:
    """A module's spec, as importlib marks it."""

    def __init__(self, *, is_executed: bool = False) -> None:
        self._initializing = not is_executed


@pytest.fixture
def module(lab: Lab) -> Iterator[ModuleType]:
    """Return a module that is not executed yet, as an import would have made it."""
    made = ModuleType("handlers_of_a_test")
    made.__spec__ = Spec()  # type: ignore[assignment]
    vars(made)["q"] = lab
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


async def test_a_name_may_be_defined_further_down_in_the_module(
    lab: Lab, module: ModuleType
) -> None:
    """While it is executed; and the context's may be known to type checkers alone."""
    vars(module)["is_whole"] = True
    exec(MODULE, vars(module))  # noqa: S102
    await module.task.enqueue(to=module.Address("Berlin"), by=5)
    assert await drain(lab) == 1


async def test_a_name_that_never_comes_is_refused_at_enqueue(lab: Lab, module: ModuleType) -> None:
    """At the latest; once the module is executed, where a handler is declared."""
    vars(module)["is_whole"] = False
    exec(MODULE, vars(module))  # noqa: S102
    with pytest.raises(InvalidOption, match="its parameter 'by' is annotated with 'other'"):
        await module.task.enqueue(to=module.Address("Berlin"))
    module.__spec__ = Spec(is_executed=True)  # type: ignore[assignment]
    with pytest.raises(InvalidOption, match="its parameter 'by' is annotated with 'other'"):
        lab.task("again")(module.mail)


async def test_a_worker_is_not_made_while_an_annotation_is_not_found(
    lab: Lab, module: ModuleType
) -> None:
    """Each task of the handler would be dead: it is told where a deployment sees it."""
    vars(module)["is_whole"] = False
    exec(MODULE, vars(module))  # noqa: S102
    with pytest.raises(InvalidOption, match="its parameter 'by' is annotated with 'other'"):
        lab.worker()
    vars(module)["other"] = SimpleNamespace(Thing=int)
    lab.worker()


LAZY = """
from qcore import Context
async def mail(ctx: Context, to: list[Address], by: Nobody = None) -> Address: ...
task = q.task("mail", retention=60)(mail)
class Address(dict): ...
if is_whole:
    Nobody = int
"""


async def test_an_annotation_may_be_evaluated_lazily(lab: Lab, module: ModuleType) -> None:
    """From Python 3.14 on a name in it may be defined further down without quotes (PEP 649)."""
    vars(module)["is_whole"] = True
    if sys.version_info < (3, 14):
        with pytest.raises(NameError):
            exec(LAZY, vars(module))  # noqa: S102
        return
    exec(LAZY, vars(module))  # noqa: S102
    module.task.handler.signature.check(lab.codec)
    vars(module)["q"] = Lab()
    vars(module)["is_whole"] = False
    del module.Nobody
    exec(LAZY, vars(module))  # noqa: S102
    with pytest.raises(InvalidOption, match="its parameter 'by' is annotated with 'Nobody'"):
        await module.task.enqueue([])


class Anything(Protocol):
    """What a test's own double of a context is."""


class Fields(TypedDict):
    """What no object is an instance of."""

    force: bool


class Own(Context):
    """What a type checker may be told."""


def first(annotation: Any, default: Any = ...) -> Callable[..., Any]:
    """Return a handler whose first parameter has an annotation and a default."""

    async def purge(force: Any) -> None: ...

    async def defaulted(force: Any = default) -> None: ...

    made = purge if default is ... else defaulted
    made.__annotations__["force"] = annotation
    if annotation is ...:
        del made.__annotations__["force"]
    return made


@pytest.mark.parametrize(
    "function",
    [
        first(bool, default=False),
        first("bool", default=False),
        first(..., default=False),
        first(int),
        first(None),
        first(dict[str, Any]),
        first(int | str),
        first(int | None),
        first(Annotated[int, "metadata"]),
        first(Narrow),
        first(Fields),
        first(5),
    ],
)
def test_a_first_parameter_that_cannot_be_the_context_is_refused(
    lab: Lab, function: Callable[..., Any]
) -> None:
    """It would be the context, whatever the caller passed, and a context is true."""
    with pytest.raises(InvalidOption, match=r"'purge' has force.* expected the context there"):
        lab.task("purge")(function)


@pytest.mark.parametrize(
    "function",
    [
        first(Context),
        first("Context"),
        first(Context, default=None),
        first(Context | None),
        first(Annotated[Context, "metadata"]),
        first(...),
        first(Any),
        first(object),
        first(T),
        first(Own),
        first(Anything),
        first("known_to_type_checkers"),
    ],
)
def test_a_first_parameter_that_may_be_the_context_is_taken(
    lab: Lab, function: Callable[..., Any]
) -> None:
    """Whatever a context may be passed as, and what is not known at run time."""
    lab.task("purge")(function)


def test_a_context_that_does_not_come_first_is_refused(lab: Lab) -> None:
    """As of a method that was declared where it is no method yet."""

    async def work(self: Any, ctx: Context, number: int) -> None: ...

    with pytest.raises(InvalidOption, match=r"the context as its parameter 'ctx'.* first"):
        lab.task("work")(work)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 2), {}), ((), {"a": 1, "b": 2}), ((), {}), (("x",), {}), ((1,), {"b": 2})],
)
async def test_whoever_forgot_the_context_is_told(
    lab: Lab, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """A handler without annotations cannot be refused: each misfit says what comes first."""

    def add(a, b: int):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return a + b

    with pytest.raises(InvalidTask, match="a, the context, comes first, and the worker passes it"):
        await lab.task("add")(add).enqueue(*args, **kwargs)


def test_a_router_without_a_client_takes_handlers_too() -> None:
    """It knows no serializer, and checks what it can."""
    router = Router()

    @router.task("mail")
    async def mail(ctx: Context, to: str) -> None: ...

    with pytest.raises(InvalidOption, match="'what' is annotated with 'no_such_name'"):

        @router.task("post")
        async def post(ctx: Context, what: "no_such_name") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@attrs.define
class Later:
    """A class with a field of a type that is not there yet."""

    what: "NotYet"  # type: ignore[name-defined]  # noqa: F821


async def test_a_class_that_cannot_be_read_is_refused_at_enqueue(lab: Lab) -> None:
    """As its fields may be of types that are defined later; the error names the parameter."""

    @lab.task("mail")
    async def mail(ctx: Context, number: int, what: Later) -> None: ...

    with pytest.raises(InvalidTask, match="mail: what is Later"):
        await mail.enqueue(1, Later(2))
