"""All routes of the dashboard, in the order in which the navigation has them."""

from typing import Final

from qcore.entrypoints.dashboard import assets
from qcore.entrypoints.dashboard.pages import (
    account,
    bulk,
    chains,
    complete,
    doctor,
    edit,
    errors,
    groups,
    jobs,
    live,
    overview,
    periodic,
    queue_moves,
    task,
    tasks,
    workers,
)
from qcore.entrypoints.dashboard.routes import RouteTable

TABLE: Final = RouteTable(
    (
        *overview.ROUTES,
        *tasks.ROUTES,
        *errors.ROUTES,
        *workers.ROUTES,
        *periodic.ROUTES,
        *groups.ROUTES,
        *chains.ROUTES,
        *complete.ROUTES,
        *task.ROUTES,
        *edit.ROUTES,
        *bulk.ROUTES,
        *jobs.ROUTES,
        *queue_moves.ROUTES,
        *live.ROUTES,
        *doctor.ROUTES,
        *account.ROUTES,
        *assets.ROUTES,
    )
)
