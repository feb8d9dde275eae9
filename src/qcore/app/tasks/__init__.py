"""Declare tasks: handlers, routers, chains, lifespans, aggregators, and a run's context."""
