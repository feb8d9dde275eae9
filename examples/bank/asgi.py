"""The API as a process: `uvicorn examples.bank.asgi:app`."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from examples.bank import wiring
from examples.bank.api import create_app
from examples.bank.distributor import QcoreTaskDistributor
from examples.bank.tasks import q

store = wiring.store()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
    """Make the tables, and in the end close what is open."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(name)s: %(message)s")
    await asyncio.to_thread(store.create_tables)
    yield
    store.close()
    await q.close()


app = create_app(store, QcoreTaskDistributor(), lifespan=lifespan)
