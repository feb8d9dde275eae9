"""What the web handler of a sign-up form would call."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from examples.signup import settings
from examples.signup.app import make_thumbnail, send_verification, send_welcome
from examples.signup.database import User, Users
from qcore import Handle


@dataclass(frozen=True, slots=True)
class Form:
    """What somebody has filled in."""

    name: str
    email: str
    country: str
    picture: bytes
    """A JPEG."""


@dataclass(frozen=True, slots=True)
class SignUp:
    """A new user, and what is being done for them in the background."""

    user: User
    verification: Handle[None]
    thumbnail: Handle[str]
    welcome: Handle[None]


async def sign_up(users: Users, form: Form) -> SignUp:
    """Store a new user and their picture, and leave everything slow to the workers."""
    user = await asyncio.to_thread(_store, users, form)
    return SignUp(
        user,
        # a second for whoever sees a typing error at once and goes back
        await send_verification.using(delay=timedelta(seconds=1)).enqueue(user_id=user.id),
        await make_thumbnail.enqueue(user_id=user.id),
        await send_welcome.enqueue(user_id=user.id),
    )


def _store(users: Users, form: Form) -> User:
    user = users.add(form.name, form.email, form.country)
    (settings.PICTURES / f"{user.id}.jpg").write_bytes(form.picture)
    return user
