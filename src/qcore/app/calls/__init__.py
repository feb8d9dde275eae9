"""What is asked for: a call of a task, its options, and its arguments as bytes."""
