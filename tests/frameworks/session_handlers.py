"""A queue whose handler runs in a child process, which makes an engine of its own."""

import os
from typing import Annotated

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from qcore import Context, Provided, Qcore
from qcore.sqlalchemy import provide_sessions
from qcore.testing import ManualClock

FILE = "TEST_SESSIONS_FILE"

q = Qcore("memory://", clock=ManualClock(), instruments=[])
engine = create_engine(f"sqlite:///{os.environ.get(FILE, '')}")
provide_sessions(q, sessionmaker(engine))


@q.task("add", process=True, max_retry=0, retention=60)
def add(
    ctx: Context, name: str, *, fails: bool, session: Annotated[Session, Provided] = Provided
) -> int:
    """Write a row, and perhaps fail."""
    session.execute(text("INSERT INTO users VALUES (:name)"), {"name": name})
    if fails:
        raise ValueError(name)
    return os.getpid()
