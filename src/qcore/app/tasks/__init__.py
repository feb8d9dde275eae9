"""What a user declares: handlers, routers, chains, lifespans, aggregators, and a run's context."""
