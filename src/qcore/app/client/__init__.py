"""Who asks: clients, the handles of what they asked for, and the inspector."""
