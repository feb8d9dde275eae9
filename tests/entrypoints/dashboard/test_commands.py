"""The command that each page shows, for who would rather type it."""

import shlex
from collections.abc import Mapping

import pytest
from selectolax.lexbor import LexborHTMLParser

from qcore.dashboard import dashboard
from tests.entrypoints.cli_kit import invoke
from tests.entrypoints.dashboard.kit import browser
from tests.entrypoints.dashboard.walking import EXAMPLES, asked, hostile_store, send


@pytest.mark.parametrize("example", EXAMPLES, ids=asked)
async def test_a_page_shows_commands_that_there_are(
    example: tuple[str, str, Mapping[str, str]],
) -> None:
    """With their options, whatever names are in them: a shell reads what was meant."""
    response = await send(browser(dashboard(await hostile_store())), *example)
    for shown in LexborHTMLParser(response.text).css("code"):
        if shown.text().startswith("qcore "):
            _, *words = shlex.split(shown.text())
            # what is wrong about them is told before the help is shown
            result = invoke(*words, "--help")
            assert result.exit_code == 0, (words, result.output)
