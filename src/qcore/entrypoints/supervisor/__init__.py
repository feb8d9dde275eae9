"""Run several workers, each a process of its own, and see to it that they stay.

Theory of operation. `qcore worker … --workers 4` starts the very same command four times
(`worker_process`), with one end of a socket pair and its number in the environment. A child finds
that out in its first lines (`link`) and becomes a worker that reports to its supervisor: that it
serves, whether it can claim, that it has reached a limit. `fleet` decides, without a clock of its
own, who is started, stopped and killed, and when; `supervisor` does it.

- **Not forked.** Children are started by `exec`: a fork of an interpreter that has imported the
  application would share its threads, locks and connections in mid-flight. The supervisor imports
  no application, so it can neither be broken by one nor hold its memory.
- **Orders go over the socket**, not by signal: systemd and terminals send their signals to all
  processes of a service, and a worker that got a second SIGTERM from its supervisor would leave at
  once. An order is the same however often it comes.
- **Nobody is left behind.** A supervisor that is killed closes its end of the socket with its last
  breath; its children read the end of it, in a thread, and stop within their grace.
- **No gap.** A worker that is to be replaced works until its successor serves.
"""
