"""Workers: claim tasks, execute them, settle them.

Theory of operation. `Worker` is the public face; each `Worker.run` makes a `WorkerSession` of the
parts below. A task passes through three parts, all on the event loop:

- claim: `ClaimLoop` demands as much of each queue as there is room for (`Capacity`), and waits for
  a notification, a due moment (`NextDue`) or the end of a run when there is nothing to claim;
- execute: `TaskRunner` starts an asyncio task for each claim (an eager one since Python 3.12, which
  runs up to the handler's first wait while it is made), in which `Executor` resolves the handler,
  decodes its arguments, has `Invoker` call it and `FailureJudge` judge what it raises; what is the
  same for all runs of a handler, as what reads its payloads and what is put around its function, is
  looked up with the first (`PreparedHandler`);
- settle: `Outbox` writes the verdicts in batches, after the progress of their runs
  (`ProgressWriter`), and keeps them through an outage.

Beside them `Sweeper` takes tasks back from crashed workers, but by `SweepHorizon` none that nobody
could have renewed, `GroupScheduler` aggregates groups, and `PeriodicScheduler` makes the tasks of
periodic entries when they tick. `CrashIsolation` starts tasks that have
crashed apart from others.
`Heartbeat` renews the leases of runs in hand and of unwritten verdicts from a thread of the clock,
and `Watchdog` reports a blocked event loop from another, so that both work while a handler blocks
the loop; so does `Announcer`, which says in the broker what the worker does. `LeaseLoss` cancels
the runs whose leases the heartbeat, the progress writer or the broker's notifications find lost. At
the end `Shutdown` drains.

Whatever code of users raises is contained where it is called (`qcore.app.calls.user_code`), and
`ErrorHooks` bounds how long hooks take. A program that ends cancels all asyncio tasks at once: the
claim loop and the outbox are kept out of that, so that `Shutdown` can still give back what runs.

The calls of these loops to the broker go through `Retrying`, and those for several queues through
`Quarantine`, so that neither an outage nor one bad queue ends a worker.
"""
