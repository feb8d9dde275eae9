"""Aggregate groups: which are ready, and one task made of the members of one."""
