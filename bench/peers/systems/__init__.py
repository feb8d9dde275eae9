"""The systems under measurement, and what measures them from inside.

This runs in each system's own environment, so it imports nothing that is not there: the standard
library, uvloop, and in each module the one system that the module is about.
"""
