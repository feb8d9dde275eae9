"""The parts of a query: terms such as `-name:email:*,sms:*`, and the words in them."""

from qcore.domain.record import record

STAR = "*"
"""Any text, also none."""


@record
class Word:
    """A value as it is written. In quotes all of it is meant as it stands, a star too."""

    text: str
    is_quoted: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the texts between its stars; one where it has none."""
        return (self.text,) if self.is_quoted else tuple(self.text.split(STAR))

    def __str__(self) -> str:
        """Return it as it is written in a query."""
        return quoted(self.text) if self.is_quoted else self.text


@record
class Term:
    """What is asked of a task: that one of the words fits, or with a minus that none does."""

    qualifier: str
    words: tuple[Word, ...]
    path: tuple[Word, ...] = ()
    """Of `args`: the names that lead to an argument, or into it."""
    is_negated: bool = False

    def __str__(self) -> str:
        """Return it as it is written in a query."""
        names = ".".join([self.qualifier, *map(str, self.path)])
        return f"{'-' * self.is_negated}{names}:{','.join(map(str, self.words))}"


def quoted(text: str) -> str:
    """Return a text in quotes, with those in it escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_like(text: str, parts: tuple[str, ...]) -> bool:
    """Return whether a text is these parts, with anything between them.

    Each part is looked for once, from left to right: the time is that of reading the text.
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    end = len(text) - len(last)
    if not (text.startswith(first) and text.endswith(last)) or len(first) > end:
        return False
    at = len(first)
    for part in parts[1:-1]:
        if (found := text.find(part, at, end)) < 0:
            return False
        at = found + len(part)
    return True
