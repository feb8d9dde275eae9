"""Measure what a store and a worker can do, and check that no task is lost on the way."""
