"""Errors of a command: one line on standard error, and an exit status."""

from typing import Final

import click

ASKS_FOR_HELP: Final[tuple[type[Exception], ...]] = tuple(
    # since click 8.2
    each
    for each in [getattr(click.exceptions, "NoArgsIsHelpError", None)]
    if each is not None
)


class OneLine(click.ClickException):
    """An error whose message is one line, whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class Wrong(OneLine):
    """Say in one line which argument is wrong and what to do; exit with 2."""

    exit_code = 2


def misuse(error: click.UsageError) -> click.ClickException:
    """Return an error of click's as one line: of an option that is not there, or has no value.

    What asks for the help, a group without a command, stays what it is.
    """
    if isinstance(error, ASKS_FOR_HELP):
        return error
    where = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
    return Wrong(f"{error.format_message().removesuffix('.')}{where}")


class NotFound(OneLine):
    """Say in one line what was asked for and is not there; exit with 3."""

    exit_code = 3


class Unreachable(OneLine):
    """Say in one line why the store does not answer; exit with 4."""

    exit_code = 4


class Unwell(OneLine):
    """Say in one line what keeps a command, well asked for, from its work; exit with 1."""

    exit_code = 1


class TimedOut(OneLine):
    """Say in one line what did not happen in the time that it was given; exit with 5."""

    exit_code = 5


class FailedForGood(OneLine):
    """Say in one line which task has ended without success, and why; exit with 6."""

    exit_code = 6


class Interrupted(OneLine):
    """Say that Ctrl-C has ended a command; exit with 130, as shells have it for SIGINT."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")
