"""What the bank writes."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime
from urllib.parse import urlencode

from examples.bank.database import SignUps, User
from examples.bank.periods import Period
from examples.bank.settings import SETTINGS


def verification(user: User) -> EmailMessage:
    """Ask a new user to prove that the address is theirs."""
    query = urlencode({"username": user.username, "code": user.code})
    return _letter(
        Address(user.full_name, addr_spec=user.email),
        "Please verify your e-mail address",
        f"Dear {user.full_name},\n\nplease verify your address:\n\n"
        f"    {SETTINGS.site}/verify-email?{query}\n",
    )


def report(period: Period, figures: SignUps) -> EmailMessage:
    """Say how many users came in a period."""
    return _letter(
        Address(addr_spec=SETTINGS.reports_to),
        f"New users, {period.name}",
        f"{figures.users} new users, {figures.verified} of them verified.\n",
    )


def _letter(to: Address, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = Address("The bank", addr_spec=SETTINGS.sender)
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = localtime()
    message.set_content(text)
    return message
