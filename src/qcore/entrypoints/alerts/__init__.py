"""Alerts: what is looked for in a store, what was told of it, and how it is told."""
