"""Which command does the same in a terminal, where nothing is masked."""

from collections.abc import Iterable, Sequence

from qcore.app.client.qualifiers import CAUSE
from qcore.app.client.queries import Query
from qcore.domain.fingerprints import common_part
from qcore.entrypoints.dashboard.masking import HIDDEN


def typed(query: Query, errors: Iterable[str | None], *words: str) -> Sequence[str]:
    """Return the words of a command for a query; none where a terminal would find other tasks.

    A fingerprint stands for an error as it is seen. `errors` are those of the tasks that the query
    finds here: where one quotes a masked value, the terminal knows it by another fingerprint.
    """
    is_by_cause = any(term.qualifier == CAUSE for term in query.terms)
    if is_by_cause and any(HIDDEN in common_part(each or "") for each in errors):
        return ()
    return words
