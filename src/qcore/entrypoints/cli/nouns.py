"""Groups of commands about one noun, such as `qcore tasks`: to list is what they do unasked."""

from collections.abc import Sequence
from typing import Final

import click

HELP: Final = "--help"


class Noun(click.Group):
    """A group in which `list` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments, with `list` before those of no other verb."""
        # completion asks for the verbs there are
        is_listing = self._is_listing(args) and not ctx.resilient_parsing
        return super().parse_args(ctx, ["list", *args] if is_listing else args)

    def _is_listing(self, args: Sequence[str]) -> bool:
        first = args[0] if args else None
        return first is None or (first.startswith("-") and first != HELP)
