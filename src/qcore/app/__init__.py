"""The application on four floors, each of which knows only those beneath it.

`worker` runs tasks, `tasks` is what users declare, `client` enqueues and reads tasks, and `calls`
builds them of a call: its options, and its arguments as bytes.
"""
