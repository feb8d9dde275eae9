"""Calls of tasks: their options, their arguments as bytes, and the tasks built of them."""
