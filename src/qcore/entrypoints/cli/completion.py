"""`qcore completion`: print what makes a shell complete commands, options and values."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from qcore.entrypoints.cli.group import VARIABLE
from qcore.entrypoints.cli.shells import use_own_shells

SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, and names that the store knows.

    For bash: `eval "$(qcore completion bash)"` in ~/.bashrc; for zsh the same in ~/.zshrc, after
    compinit; for fish `qcore completion fish > ~/.config/fish/completions/qcore.fish`.
    """
    use_own_shells()
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(ctx.find_root().command, {}, "qcore", VARIABLE).source())
