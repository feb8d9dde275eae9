"""What is true of tasks in any world: no clock, no dice, no loop and no wire."""
