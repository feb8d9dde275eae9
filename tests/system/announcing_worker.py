"""A program whose worker announces itself often: `python -m tests.system.announcing_worker URL`.

So that a test need not wait for as long as a worker by its defaults is listed.
"""

import asyncio
import sys
from typing import Final

from qcore import Context, Qcore

EVERY: Final = 1.0
"""Seconds between two announcements."""

q = Qcore(sys.argv[1])


@q.task("hold")
async def hold(ctx: Context) -> None:  # noqa: D103
    await asyncio.Event().wait()


async def main() -> None:
    """Work until a signal ends it."""
    async with q:
        await q.worker(announce_every=EVERY, name="announcing").run()


if __name__ == "__main__":
    asyncio.run(main())
