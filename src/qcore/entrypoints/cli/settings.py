"""Settings of a command: `[tool.qcore]` of pyproject.toml, the environment, and flags, rising.

click does it: what the project file says is a context's `default_map`, a variable is an option's
`auto_envvar`, and its `ParameterSource` says which of them a value is from. An option that belongs
to one call alone, such as --json, is declared with `allow_from_autoenv=False`, and is none.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import click
from click.core import ParameterSource

from qcore.domain.errors import InvalidOption
from qcore.entrypoints.cli.errors import Wrong, misuse
from qcore.entrypoints.project_file import SOURCE, project_settings

PREFIX: Final = "QCORE"
ALIKE: Final = 0.8
"""How much of a variable's name is to be that of a setting, to be taken for a misspelling."""


class ConfiguredCommand(click.Command):
    """A command whose options are settings; `is_whole` if it has all of them.

    Such a command refuses a name in `[tool.qcore]` that it does not have.
    """

    def __init__(self, *args: Any, is_whole: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_whole = is_whole

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return a context with the values of all sources; raise `Wrong` for one that is wrong."""
        project = self._project()
        extra = {"auto_envvar_prefix": PREFIX, "default_map": project, **extra}
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.BadParameter as error:
            raise _told(error) from None

    def _project(self) -> Mapping[str, Any]:
        """Return the project's settings by the names of parameters."""
        try:
            given = project_settings()
        except InvalidOption as error:
            raise Wrong(str(error)) from None
        known = {key_of(each): each for each in settings_of(self)}
        unknown = [name for name in given if name not in known]
        if unknown and self._is_whole:
            raise Wrong(_no_setting(unknown[0], list(known)))
        return {
            each.name or "": _split(each, given[name])
            for name, each in known.items()
            if name in given
        }


def settings_of(command: click.Command) -> Sequence[click.Parameter]:
    """Return the parameters of a command that are settings."""
    return [
        each
        for each in command.params
        if not isinstance(each, click.Option) or each.allow_from_autoenv
    ]


def key_of(parameter: click.Parameter) -> str:
    """Return the name of a setting: that of its flag, with `_` for each `-`."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len).lstrip("-").replace("-", "_")
    return parameter.name or ""


def variable_of(parameter: click.Parameter) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}_{key_of(parameter).upper()}"


def source_of(ctx: click.Context, parameter: click.Parameter) -> str:
    """Return where a value comes from: a flag, a variable, the project file, or "default"."""
    match ctx.get_parameter_source(parameter.name or ""):
        case ParameterSource.COMMANDLINE:
            return parameter.opts[0] if isinstance(parameter, click.Option) else "the argument"
        case ParameterSource.ENVIRONMENT:
            return variable_of(parameter)
        case ParameterSource.DEFAULT_MAP:
            return SOURCE
        case _:
            return "default"


def with_source(message: str, ctx: click.Context) -> str:
    """Return a message about a setting, whose name it begins with, with the value's source."""
    for each in settings_of(ctx.command):
        if message.startswith(f"{key_of(each)} is "):
            # as in "concurrency is 0", and in "strict is set without queues"
            return f"{message} ({source_of(ctx, each)})"
    return message


def misspelt_variables(command: click.Command) -> Iterator[str]:
    """Yield a line for each variable that is almost one of a command's settings."""
    known = [variable_of(each) for each in settings_of(command)]
    for name in sorted(os.environ):
        if name.startswith(f"{PREFIX}_") and name not in known:
            for meant in get_close_matches(name, known, 1, ALIKE):
                yield f"the variable {name} is no setting: did you mean {meant}?"


def _told(error: click.BadParameter) -> click.ClickException:
    """Return an error of one line: which setting, its value, what was expected, its source."""
    parameter, ctx, said = error.param, error.ctx, error.message
    if parameter is None or ctx is None or isinstance(error, click.MissingParameter):
        return misuse(error)
    key = key_of(parameter)
    if not said.startswith((f"{key} ", "the URL ")):
        said = f"{key}: {said}"
    return Wrong(f"{said.removesuffix('.')} ({source_of(ctx, parameter)})")


def _no_setting(name: str, known: Sequence[str]) -> str:
    spelt = [each.replace("_", "-") for each in known]
    meant = get_close_matches(name.replace("_", "-"), spelt, 1)
    hint = f"did you mean {meant[0]!r}?" if meant else f"expected one of {', '.join(spelt)}"
    return f"there is no setting {name.replace('_', '-')!r}: {hint} ({SOURCE})"


def _split(parameter: click.Parameter, value: Any) -> Any:
    """Return several values of one text, as an environment variable has them."""
    if parameter.multiple and isinstance(value, str):
        return parameter.type.split_envvar_value(value)
    return value
