"""Numbers of tasks as text, as commands and pages show them."""


def tasks(number: int) -> str:
    """Return a number of tasks in words."""
    return "1 task" if number == 1 else f"{number:,} tasks"
