"""What we do with tasks, on four floors, each of which knows only those beneath it.

`worker` runs tasks, `tasks` is what a user declares, `client` asks for tasks and looks at them, and
`calls` is what is asked for: a call, its options, and its arguments as bytes.
"""
