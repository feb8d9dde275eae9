"""What touches a wire: for each store a link that awaits and one that blocks."""
