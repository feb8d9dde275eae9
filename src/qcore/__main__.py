"""`python -m qcore`."""

from qcore.entrypoints.cli import main

# a child process of a worker imports this module too, under another name
if __name__ == "__main__":
    main()
