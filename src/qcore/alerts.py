"""Alerts: tell a URL or a function what is wrong with a queue, and when it is over."""

from qcore.entrypoints.alerts.alert import Alert, Finding
from qcore.entrypoints.alerts.install import send_alerts
from qcore.entrypoints.alerts.rules import (
    DEFAULT_RULES,
    Archived,
    Dead,
    MissedTick,
    NoWorker,
    Rule,
    Store,
    TooFew,
    Waiting,
)

__all__ = [
    "DEFAULT_RULES",
    "Alert",
    "Archived",
    "Dead",
    "Finding",
    "MissedTick",
    "NoWorker",
    "Rule",
    "Store",
    "TooFew",
    "Waiting",
    "send_alerts",
]
