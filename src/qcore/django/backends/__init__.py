"""Backends for Django's tasks: one for `django.tasks`, one for its backport `django_tasks`.

Both have classes of their own for tasks and results, so there are two backend classes (`native`,
`backport`) over one core: `backend` enqueues and reads results, `results` makes them of what is
stored, `running` runs tasks in a worker, `runs` is what is kept of each run.
"""
