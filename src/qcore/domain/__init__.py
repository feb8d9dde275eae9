"""The rules of tasks, pure: no clock, no dice, no event loop and no wire."""
