"""What is wrong and what was told of it, from one check to the next; decided without a store."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias

from attrs import evolve
from msgspec import json

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.entrypoints.alerts.alert import Alert, Finding

MOST: Final = 100
"""Alerts of one check, as so many tasks may follow a run; what is left is told by the next one."""

Key: TypeAlias = tuple[str, str, str]
"""Rule, queue and subject."""


@record
class Standing:
    """How it stands with what a rule has found."""

    rule: str
    finding: Finding
    """As it was found last."""
    since: Moment
    told: Moment | None = None
    """When an alert was last made of it."""
    is_on: bool = True
    is_known: bool = False
    """Whether an alert was made of it that is not over."""

    @property
    def key(self) -> Key:
        """Return what tells it from others."""
        return key_of(self.rule, self.finding)


@record
class Standings:
    """What one check leaves to the next."""

    began: Moment
    """When the first check was made."""
    standings: tuple[Standing, ...] = ()


_decode: Final = json.Decoder(Standings).decode


def to_text(standings: Standings) -> str:
    """Return standings as they are stored: as the result of a check."""
    return json.encode(standings).decode()


def from_text(text: str) -> Standings:
    """Return standings as they were stored."""
    return _decode(text)


def key_of(rule: str, finding: Finding) -> Key:
    """Return what tells a finding from others."""
    return rule, finding.queue, finding.subject


def decide(
    before: Standings,
    found: Mapping[Key, Finding],
    *,
    quiet: Mapping[str, float],
    unknown: Collection[str],
    environment: str,
    now: Moment,
) -> tuple[Standings, Sequence[Alert]]:
    """Return how it stands now, and the alerts that follow.

    `quiet` are the seconds for each rule in which the same is not told again, `unknown` the rules
    that could not be checked, of which all stays as it was. What is no rule any more is over.
    """
    old = {each.key: each for each in before.standings}
    after: list[Standing] = []
    alerts: list[Alert] = []
    for key in sorted({*old, *found}):
        was = old.get(key)
        new = was if key[0] in unknown else _next(was, key, found.get(key), quiet, now)
        if _is_news(was, new) and len(alerts) >= MOST:
            new = was
        if new is not None and _is_news(was, new):
            alerts.append(_alert(new, environment, now))
        if new is not None and (new.is_on or _is_quiet(new, quiet, now)):
            after.append(new)
    return evolve(before, standings=tuple(after)), alerts


def _next(
    was: Standing | None,
    key: Key,
    finding: Finding | None,
    quiet: Mapping[str, float],
    now: Moment,
) -> Standing | None:
    """Return how it stands with one thing after a check."""
    if finding is None:
        return None if was is None else evolve(was, is_on=False, is_known=False)
    if was is None:
        return Standing(key[0], finding, now, now, is_known=True)
    since = was.since if was.is_on else now
    on = evolve(was, finding=finding, since=since, is_on=True)
    return on if _is_quiet(was, quiet, now) else evolve(on, told=now, is_known=True)


def _is_news(was: Standing | None, new: Standing | None) -> bool:
    """Return whether an alert is to be made of what has become of something."""
    if new is None:
        return False
    if new.is_on:
        return was is None or new.told != was.told
    return was is not None and was.is_known and not new.is_known


def _is_quiet(standing: Standing, quiet: Mapping[str, float], now: Moment) -> bool:
    """Return whether it was told so lately that it is not told again."""
    return standing.told is not None and now - standing.told < quiet.get(standing.rule, 0)


def _alert(standing: Standing, environment: str, now: Moment) -> Alert:
    finding = standing.finding
    return Alert(
        rule=standing.rule,
        queue=finding.queue,
        environment=environment,
        since=standing.since,
        at=now,
        is_over=not standing.is_on,
        text=finding.text if standing.is_on else f"Over: {finding.text}",
        value=finding.value,
        bound=finding.bound,
        command=finding.command,
        subject=finding.subject,
    )
