"""What turns the service into a demo: a mail server, worker processes, a screen and an auditor."""
