"""Dependencies of FastAPI as arounds of handlers: one function for requests and for tasks."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import attrs
import pytest
from fastapi import Depends, FastAPI, Request

from qcore import Context, InvalidOption, Provided, Qcore
from qcore.asgi import dependency
from qcore.testing import ManualClock, drain, drain_sync
from tests.frameworks.asgi_kit import serving


@attrs.define
class Session:
    """What a request, and a run, has of its own."""

    log: list[str]


@attrs.define
class Users:
    """What stands on a session."""

    session: Session
    limit: int = 0


@attrs.define
class Settings:
    """What is the same for all."""

    name: str = "shop"


LOG: list[str] = []


def get_session() -> Iterator[Session]:
    """Open a session."""
    made = Session([])
    try:
        yield made
    except ValueError:
        LOG.append("rolled back")
        raise
    else:
        LOG.append(f"committed {made.log}")


async def get_session_awaited() -> AsyncIterator[Session]:
    """Open a session that is awaited."""
    made = Session([])
    yield made
    LOG.append(f"awaited {made.log}")


def get_settings() -> Settings:
    """Return the settings."""
    return Settings()


async def get_settings_awaited() -> Settings:
    """Return the settings."""
    return Settings("awaited")


def get_users(
    session: Annotated[Session, Depends(get_session)],
    limit: int = 7,
) -> Users:
    """Return what stands on a session."""
    return Users(session, limit)


def get_users_by_default(session: Session = Depends(get_session)) -> Users:  # noqa: B008
    """Say the same in FastAPI's older form."""
    return Users(session)


@pytest.fixture
def q() -> Qcore:
    """Return a queue in memory."""
    LOG.clear()
    return Qcore("memory://", clock=ManualClock(), instruments=[])


async def test_a_dependency_serves_requests_and_handlers(q: Qcore) -> None:
    """It sees the end of both, and their errors."""
    q.around(dependency(get_session))
    app = FastAPI()

    @q.task("add", max_retry=0)
    def add(ctx: Context, name: str, session: Annotated[Session, Provided] = Provided) -> None:
        session.log.append(name)
        if name == "bob":
            raise ValueError(name)

    @app.post("/users")
    def view(session: Annotated[Session, Depends(get_session)]) -> None:
        session.log.append("request")

    async with serving(app) as client:
        assert (await client.post("/users")).status_code == 200
    await add.enqueue("ann")
    await add.enqueue("bob")
    await drain(q)
    assert LOG == ["committed ['request']", "committed ['ann']", "rolled back"]


@pytest.mark.parametrize("function", [get_users, get_users_by_default])
def test_a_dependency_that_takes_others_finds_them_by_type(q: Qcore, function: Any) -> None:
    """What was declared before; a default is kept where there is none of its type."""
    q.around(dependency(get_session))
    q.around(dependency(get_settings))
    q.around(dependency(function))
    seen: list[Users] = []

    @q.task("look")
    def look(
        ctx: Context,
        users: Annotated[Users, Provided] = Provided,
        settings: Annotated[Settings, Provided] = Provided,
    ) -> None:
        assert users.session is ctx.state(Session)
        assert settings.name == "shop"
        seen.append(users)

    look.enqueue_sync()
    drain_sync(q)
    assert [each.limit for each in seen] == [7 if function is get_users else 0]


async def test_one_that_awaits_is_for_coroutines(q: Qcore) -> None:
    """And says so before a worker starts, where a handler is a plain function."""
    q.around(only="coroutine")(dependency(get_session_awaited))
    q.around(only="coroutine")(dependency(get_settings_awaited))

    @q.task("look")
    async def look(ctx: Context, session: Annotated[Session, Provided] = Provided) -> None:
        session.log.append(ctx.state(Settings).name)

    await look.enqueue()
    await drain(q)
    assert LOG == ["awaited ['awaited']"]

    with pytest.raises(InvalidOption, match="get_session_awaited is async"):
        q.task("plain", around=dependency(get_session_awaited))(lambda ctx: None)


def test_a_request_is_nothing_that_a_task_has(q: Qcore) -> None:
    """The error of the run names it."""

    def get_user(request: Request) -> Users:
        raise AssertionError

    @q.task("look", max_retry=0, retention=60, around=dependency(get_user))
    def look(ctx: Context) -> None: ...

    handle = look.enqueue_sync()
    drain_sync(q)
    assert "no lifespan and no around yields a Request" in str(handle.errors()[0])


def test_a_parameter_without_a_class_is_named(q: Qcore) -> None:
    """By it nothing can be found."""

    def get_user(token) -> Users:  # type: ignore[no-untyped-def]  # noqa: ANN001
        raise AssertionError

    @q.task("look", max_retry=0, retention=60, around=dependency(get_user))
    def look(ctx: Context) -> None: ...

    handle = look.enqueue_sync()
    drain_sync(q)
    assert "get_user takes token, whose annotation is None" in str(handle.errors()[0])


def test_another_object_takes_the_place_of_what_a_dependency_gives(q: Qcore) -> None:
    """As `dependency_overrides` does for requests."""
    q.around(dependency(get_session))
    fake = Session(["fake"])
    seen: list[Session] = []

    @q.task("look")
    def look(ctx: Context, session: Annotated[Session, Provided] = Provided) -> None:
        seen.append(session)

    with q.swapped(clock=q.clock, provided={Session: fake}):
        look.enqueue_sync()
        drain_sync(q)
    assert seen == [fake]
