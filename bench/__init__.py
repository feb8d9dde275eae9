"""The benchmarks: `python -m bench`, or some of its parts: `python -m bench memory sqlite`."""
