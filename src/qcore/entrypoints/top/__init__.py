"""`qcore top`: a live view of a store in the terminal, which stands on its inspector."""
