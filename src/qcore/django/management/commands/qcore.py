"""`manage.py qcore …`: the commands of qcore for the queue of the settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.core.management.base import BaseCommand

from qcore.app.worker.pools.child_setup import prepared_children

if TYPE_CHECKING:
    from qcore.django.queue import DjangoQcore


class Command(BaseCommand):
    """Hands its arguments over to the command line of qcore."""

    help = "Run the worker and every other command of qcore: manage.py qcore --help."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run a command: all arguments after "qcore" are for that."""
        from qcore.entrypoints.cli import main

        # a child process imports nothing of the application before it is set up
        with prepared_children(django.setup):
            main(argv[2:], name=f"{Path(argv[0]).name} {argv[1]}", find=_queue)

    def add_arguments(self, parser: Any) -> None:
        """Take any arguments of `call_command`."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *args: Any, arguments: Sequence[str] = (), **_: Any) -> None:
        """Run a command for `call_command("qcore", "queues")`, which goes on after it."""
        from qcore.entrypoints.cli.hosted_group import HostedGroup

        given = [*arguments, *map(str, args)]
        HostedGroup(_queue).main(given, prog_name="manage.py qcore", standalone_mode=False)


def _queue() -> "DjangoQcore":
    from qcore.django.queue import q

    return q
