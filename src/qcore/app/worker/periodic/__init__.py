"""Schedulers: make the tasks of periodic entries when they tick, beside a worker or alone."""
