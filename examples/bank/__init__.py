"""A bank's users: an HTTP API that leaves e-mails and reports to background tasks."""
