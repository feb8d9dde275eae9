"""What we do with tasks."""
