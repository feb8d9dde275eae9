"""Groups of commands about one noun, such as `qcore tasks`: to list is what they do unasked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

HELP: Final = "--help"
TERM: Final = ":"


class Noun(click.Group):
    """A group in which `list` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments, with `list` before those of no other verb."""
        # completion asks for the verbs there are, where none is given yet
        is_asked_for_verbs = ctx.resilient_parsing and not args
        is_listing = self._is_listing(args) and not is_asked_for_verbs
        return super().parse_args(ctx, ["list", *args] if is_listing else args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Return the verbs that begin so, and the options of `list`."""
        found = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            return found
        named = {each.value for each in found}
        listing = self.commands["list"].shell_complete(ctx, incomplete)
        return found + [each for each in listing if each.value not in named]

    def _is_listing(self, args: Sequence[str]) -> bool:
        first = args[0] if args else None
        if first is None or (first.startswith("-") and first != HELP):
            return True
        # a term of a query, which no verb is
        return TERM in first
