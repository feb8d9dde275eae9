"""Things that call us."""
