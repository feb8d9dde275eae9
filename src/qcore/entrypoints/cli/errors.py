"""Errors of a command: one line on standard error, and an exit status."""

import click


class Wrong(click.ClickException):
    """Say in one line which argument is wrong and what to do; exit with 2."""

    exit_code = 2


class Unwell(click.ClickException):
    """Say in one line what keeps a command, well asked for, from its work; exit with 1."""

    exit_code = 1
