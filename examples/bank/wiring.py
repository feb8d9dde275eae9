"""What the settings mean: the one place that makes a store and a mailer of them."""

from sqlalchemy import create_engine

from examples.bank.database import Store
from examples.bank.mail import LogMailer, Mailer, SmtpMailer
from examples.bank.settings import SETTINGS


def store() -> Store:
    """Return the store. It connects when it is first used, not before."""
    # a connection that the database has closed meanwhile is replaced, rather than an error
    return Store(create_engine(SETTINGS.database_url, pool_pre_ping=True))


def mailer() -> Mailer:
    """Return what sends e-mails."""
    return LogMailer() if SETTINGS.smtp is None else SmtpMailer(*SETTINGS.smtp)
