"""Periodic tasks: entries that make a task at each tick of a schedule.

An `Entry` is what somebody asks for; `EntryState` is how far it has come; a `StoredEntry` is both,
as a broker has them. All that changes one is a pure function here, of the entry as it was seen and
the time (`ticking`, `editing`), that returns an `EntryChange`. A broker carries it out if the entry
is still as it was seen, in one step with the tasks that it brings; if not, it answers
`EntryConflict`, and whoever asked reads the entry again and decides anew.
"""
