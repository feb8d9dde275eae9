"""The HTTP API. It knows a store and a `TaskDistributor`, and not what is behind them."""

from collections.abc import Callable
from time import time
from typing import Annotated

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy.exc import OperationalError
from starlette.types import Lifespan

from examples.bank.database import Store, UserExists
from examples.bank.distributor import TaskDistributor
from qcore import BrokerUnavailable

Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{3,40}$")]
FullName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=100)]
Email = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
        max_length=254,
    ),
]


class NewUser(BaseModel):
    """What somebody fills in."""

    username: Username
    full_name: FullName
    email: Email


class ShownUser(BaseModel):
    """What is shown of a user."""

    model_config = ConfigDict(from_attributes=True)

    username: str
    full_name: str
    email: str
    created_at: float
    is_verified: bool


def create_app(
    store: Store,
    distributor: TaskDistributor,
    *,
    now: Callable[[], float] = time,
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """Return the API. Its functions are plain ones, which run in threads and may block."""
    app = FastAPI(title="bank", lifespan=lifespan)

    @app.post("/users", status_code=201)
    def create_user(new: NewUser) -> ShownUser:
        """Create a user; the verification e-mail is sent in the background.

        The task is enqueued before the commit: while it cannot be stored there is no user, and
        whoever tries again finds the name free. If the commit fails the task finds no user, and
        gives up. The e-mail waits some seconds, so that it cannot be faster than the commit.
        """
        user = store.create_user(
            new.username,
            new.full_name,
            new.email,
            now=now(),
            then=lambda user: distributor.send_verify_email(user.username),
        )
        return ShownUser.model_validate(user)

    @app.get("/users/{username}")
    def read_user(username: str) -> ShownUser:
        """Show a user."""
        user = store.user(username)
        if user is None:
            raise HTTPException(404, f"there is no user {username!r}")
        return ShownUser.model_validate(user)

    @app.post("/users/{username}/verify-email", status_code=202)
    def send_again(username: str) -> dict[str, str]:
        """Send the e-mail again, to who has lost it; clicking twice sends one."""
        read_user(username)
        distributor.send_verify_email_again(username)
        return {"detail": "the e-mail is on its way"}

    @app.get("/verify-email")
    def verify_email(username: str, code: str) -> dict[str, bool]:
        """Take note that a user has opened the link of the e-mail."""
        if not store.verify(username, code):
            raise HTTPException(404, "there is no such user, or the code is of another")
        return {"is_verified": True}

    @app.get("/health")
    def health() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok"}

    app.add_exception_handler(UserExists, taken)
    for unavailable in (BrokerUnavailable, OperationalError):
        app.add_exception_handler(unavailable, away)
    return app


def taken(_request: Request, error: Exception) -> JSONResponse:
    """Answer that a name or an address is taken."""
    return JSONResponse({"detail": str(error)}, status_code=409)


def away(_request: Request, _error: Exception) -> JSONResponse:
    """Answer that the database or the queue is away: nothing was stored, try again."""
    text = "the database or the queue is away: try again"
    return JSONResponse({"detail": text}, status_code=503, headers={"Retry-After": "5"})
