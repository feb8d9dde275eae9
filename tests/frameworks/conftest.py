"""Engines of SQLAlchemy over the database of an application."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.frameworks.users_table import CREATE


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return the path of an application's database."""
    return f"{tmp_path}/shop.db"


@pytest.fixture
def engine(file: str) -> Iterator[Engine]:
    """Return an engine over it, with a table of names that are unique."""
    made = create_engine(f"sqlite:///{file}")
    with made.begin() as connection:
        connection.execute(CREATE)
    yield made
    made.dispose()


@pytest.fixture
async def async_engine(file: str, engine: Engine) -> AsyncIterator[AsyncEngine]:
    """Return an engine over it that is awaited."""
    made = create_async_engine(f"sqlite+aiosqlite:///{file}")
    yield made
    await made.dispose()
