"""Metrics for Prometheus: collected from workers and the store, told over HTTP, or pushed."""
