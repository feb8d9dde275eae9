"""What the service writes to its users."""

from email.message import EmailMessage
from email.utils import formataddr, localtime

from examples.signup import settings
from examples.signup.database import User


def verification(user: User) -> EmailMessage:
    """Ask a new user to prove that the address is theirs."""
    return _letter(
        user,
        "Please confirm your e-mail address",
        "one more step and you are in. Please confirm your address:\n\n"
        f"    https://{settings.SITE}/confirm?code={user.code}\n\n"
        "If this was not you, there is nothing to do.",
    )


def welcome(user: User) -> EmailMessage:
    """Say hello."""
    return _letter(
        user,
        "Welcome!",
        f"it is good to have you with us. Your profile is at\n\n"
        f"    https://{settings.SITE}/people/{user.id}\n\n"
        "and we read every answer to this e-mail.",
    )


def _letter(user: User, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = formataddr(("The sign-up example", f"hello@{settings.SITE}"))
    message["To"] = formataddr((user.name, user.email))
    message["Subject"] = subject
    message["Date"] = localtime()
    message.set_content(f"Dear {user.name},\n\n{text}\n\nYours,\nthe sign-up example\n")
    return message
