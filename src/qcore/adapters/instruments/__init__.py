"""Instruments: receivers of events, one module for each thing they report to."""
