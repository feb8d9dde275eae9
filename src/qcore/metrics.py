"""Metrics for Prometheus: what counts them, and the routes that tell them (extra `metrics`)."""

from qcore.adapters.instruments.metrics import Metrics
from qcore.entrypoints.metrics.apps import metrics_app, metrics_wsgi_app
from qcore.entrypoints.metrics.collector import MetricsCollector

__all__ = [
    "Metrics",
    "MetricsCollector",
    "metrics_app",
    "metrics_wsgi_app",
]
