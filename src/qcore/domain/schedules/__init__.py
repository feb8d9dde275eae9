"""Schedules: when something that recurs is due, as pure values."""
