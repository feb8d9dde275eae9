"""Enqueue tasks and read them: clients, handles, and the inspector."""
