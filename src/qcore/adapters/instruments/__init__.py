"""What wants to know: one small file for each thing that listens."""
