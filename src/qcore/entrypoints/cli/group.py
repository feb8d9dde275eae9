"""All commands by their names."""

import click

from qcore.entrypoints.cli.bench import bench
from qcore.entrypoints.cli.doctor import doctor
from qcore.entrypoints.cli.worker import worker


@click.group()
@click.version_option(package_name="qcore-queue")
def qcore() -> None:
    """Run background tasks, and look after them."""


qcore.add_command(worker)
qcore.add_command(bench)
qcore.add_command(doctor)
