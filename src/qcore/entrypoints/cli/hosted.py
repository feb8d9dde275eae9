"""The queue that an application's own command line hands over to the commands within it.

Such a command line, `flask qcore …` or `manage.py qcore …`, has imported the application already:
its commands are about that queue, and need neither MODULE:NAME nor --app nor --url.
"""

from typing import TYPE_CHECKING, Final, cast

import click

if TYPE_CHECKING:
    from qcore.entrypoints.facade import Qcore

_KEY: Final = "qcore.hosted"
"""Where the contexts of one call of click have it, which share `meta`."""


def host(ctx: click.Context, q: "Qcore") -> None:
    """Hand a queue over to the commands below."""
    ctx.meta[_KEY] = q


def hosted_queue() -> "Qcore | None":
    """Return the queue that was handed over; None in the command `qcore` itself."""
    ctx = click.get_current_context(silent=True)
    return None if ctx is None else cast("Qcore | None", ctx.meta.get(_KEY))
