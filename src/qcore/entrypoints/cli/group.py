"""All commands by their names; each is imported when it is asked for.

A command brings what it works with, a worker or the doctor, which takes a third of a second to
import: `qcore --help` and shell completion need none of it.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from itertools import takewhile
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Final

import click

from qcore.entrypoints.cli.errors import Interrupted, OneLine, misuse

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: Final[Mapping[str, str]] = {
    "bench": "Measure how fast a store is, and that no task is lost.",
    "completion": "Have a shell complete commands, options and names.",
    "config": "Show each setting of a worker, and whence it comes.",
    "dashboard": "Serve pages that show a store, and move what is in it.",
    "doctor": "Look a store over: what is well, what is not, what to do.",
    "enqueue": "Enqueue a task by its name.",
    "errors": "Show the failed tasks by cause.",
    "export": "Write what is in a store as JSON lines: a backup.",
    "groups": "List groups of tasks; aggregate or delete them.",
    "health": "Ask a worker whether it can claim tasks.",
    "import": "Store what was exported, here or elsewhere.",
    "limits": "List the limits of queues; set, clear, pause, resume.",
    "periodic": "List periodic tasks; run, pause, resume, remove them.",
    "queues": "List the queues; pause, resume, limit, remove them.",
    "scheduler": "Make periodic tasks when they are due, and run none.",
    "stats": "Show what has ended: how much, how fast, with which outcome.",
    "task": "Show, follow, run, cancel, delete tasks by their ids.",
    "tasks": "List, run, cancel, delete all tasks of a query.",
    "top": "Watch queues, workers, tasks and errors, in the terminal.",
    "worker": "Run the tasks of an application.",
    "workers": "List the workers, and what each of them does.",
}
"""Name to what `qcore --help` says of it. The command `name` is `name` of the module `name` beside
this one,"""
MODULES: Final[Mapping[str, str]] = {
    "errors": "failures",
    "export": "exporting",
    "import": "importing",
    "top": ".top.command",
}
"""but of these: the module `errors` has those that commands raise, and no module is `import`; that
command is called `import_` there. `top` is a package of its own, which stands on this one."""
VARIABLE: Final = "_QCORE_COMPLETE"
"""Says what a shell wants, where one asks for completions."""


class LazyGroup(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, None for a name that none has."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f".{MODULES.get(cmd_name, cmd_name)}", __package__)
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(module, name)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the arguments name, or answer a shell that completes them."""
        if VARIABLE in os.environ:
            from qcore.entrypoints.cli.shells import use_own_shells

            use_own_shells()
        return super().main(*args, **kwargs)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Return the commands that begin so, without importing them, and options."""
        from click.shell_completion import CompletionItem

        there = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        named = [CompletionItem(name, help=COMMANDS[name]) for name in there]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return a context; raise an error of one line for an option that is not there."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise misuse(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named; raise an error of one line for what it does not take."""
        is_json = "--json" in takewhile(lambda each: each != "--", ctx.args)
        try:
            return super().invoke(ctx)
        except (click.ClickException, KeyboardInterrupt) as error:
            told = _told(error)
            if is_json and isinstance(told, OneLine):
                # who reads a document is to find one, whatever has happened
                with ctx.scope(cleanup=False):
                    _print_json_error(told)
            raise told from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _told(error: click.ClickException | KeyboardInterrupt) -> click.ClickException:
    """Return what is told of an error."""
    if isinstance(error, KeyboardInterrupt):
        # the shell has drawn ^C where the cursor was
        click.echo(err=True)
        return Interrupted()
    return misuse(error) if isinstance(error, click.UsageError) else error


def _print_json_error(error: OneLine) -> None:
    from qcore.entrypoints.cli.output import print_json_error

    print_json_error(error.message, error.exit_code)


@click.command(cls=LazyGroup)
@click.version_option(package_name="qcore-queue")
def qcore() -> None:
    """Run background tasks, and look after them."""
