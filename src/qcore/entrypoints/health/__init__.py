"""Health of a process: whether it lives, whether it can claim, and who answers when asked."""
