"""How shells ask for completions: click's own ways, but that words may have colons in them.

bash takes a colon for the end of a word, and replaces what comes after it alone. Names of tasks,
and the terms of a query, have colons: so the line is asked for here, rather than bash's words.
"""

import os
from typing import Any, Final

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

BASH: Final = """\
%(complete_func)s() {
    local found
    COMPREPLY=()
    while IFS= read -r found; do
        # where there is nothing, a line is empty
        [[ -n "$found" ]] && COMPREPLY+=("$found")
    done < <(_QCORE_LINE="${COMP_LINE:0:COMP_POINT}" _QCORE_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1")
    # what ends so goes on
    if [[ "${COMPREPLY[0]}" == *[:=] ]]; then
        compopt -o nospace
    fi
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
ENDS_A_WORD: Final = "compadd -U -V unsorted -a completions"
MAY_GO_ON: Final = f"""\
if [[ $completions[1] == *[:=] ]]; then
            {ENDS_A_WORD.replace(" -a", " -S '' -a")}
        else
            {ENDS_A_WORD}
        fi"""


class Bash(BashComplete):
    """Completion for bash, of words as a command gets them."""

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one at the cursor, and that one."""
        line = os.environ["_QCORE_LINE"]
        words = split_arg_string(line)
        while words and "=" in words[0]:
            # a variable for this command alone
            del words[0]
        is_between = not line or line[-1].isspace()
        self._incomplete = "" if is_between else words.pop()
        return words[1:], self._incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return what is to take the place of what bash holds for the word."""
        value, breaks = str(item.value), os.environ.get("_QCORE_BREAKS", "")
        kept = max(self._incomplete.rfind(each) for each in breaks) + 1 if breaks else 0
        return value.removeprefix(self._incomplete[:kept])


class Zsh(ZshComplete):
    """Completion for zsh, in which what ends in a colon goes on."""

    source_template = ZshComplete.source_template.replace(ENDS_A_WORD, MAY_GO_ON)


def use_own_shells() -> None:
    """Have click ask through these."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
