"""qcore beside other queues for Python, on one server, in one run: `python -m bench.peers`.

Each system is measured in the same way, by `measuring`; what differs is in `systems/`, one file
each, which runs in an environment of that system's own (`.bench/`, from `environments/*.txt`).
"""
