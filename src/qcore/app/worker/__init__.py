"""Who runs tasks: claim, execute, settle, and keep the leases meanwhile."""
