"""The later steps of a chain, encoded in a header of the task that runs before them.

The codec writes the header as it writes arguments, so that a serializer that signs or encrypts
covers it too.
"""

from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NotRequired, TypedDict

from attrs import fields_dict

from qcore.app.calls.call import Step
from qcore.app.calls.chain_steps import CHAIN_HEADER, after
from qcore.app.calls.codec import Codec
from qcore.domain.errors import CannotDecode, UnknownFormat
from qcore.domain.ids import next_id
from qcore.domain.moments import Moment, seconds_of
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.uniqueness import key_of


class Plan(TypedDict):
    """A step as it is encoded."""

    task: dict[str, Any]
    """The fields of its `NewTask` that differ from the defaults."""
    arguments: dict[str, Any]
    takes: str | None
    """The argument that receives the previous step's result; None for none."""
    unique: bool
    """Whether its unique key is derived from its name and arguments."""
    digests: NotRequired[dict[str, str]]
    """The digests of its arguments, for that: the arguments themselves are plain data here, in
    which a set is a list in an order of its own."""
    delay: NotRequired[float]
    expires: NotRequired[float]


_PLAIN: Final = NewTask("?", id="?")
_DEFAULTS: Final = {name: getattr(_PLAIN, name) for name in fields_dict(NewTask)}
_OF_THE_MOMENT: Final = frozenset({"id", "payload", "content_type"})
"""Fields that a step gets when it is enqueued."""


def plan_step(step: Step[Any, Any], task: NewTask, codec: Codec) -> Plan:
    """Return a step for the header; `task` is what it would be if it were enqueued now."""
    call, options = step.call, step.call.template.options
    given = {
        name: getattr(task, name)
        for name, default in _DEFAULTS.items()
        if name not in _OF_THE_MOMENT and getattr(task, name) != default
    }
    plan: Plan = {
        "task": given,
        "arguments": call.signature.given(call.args, call.kwargs),
        "takes": step.takes,
        "unique": call.template.is_unique,
    }
    if call.template.is_unique:
        arrived = call.signature.named(task.payload, task.content_type, codec)
        plan["digests"] = codec.digests(arrived)
    if "task_id" in options:
        given["id"] = task.id
    # a duration is counted from the moment at which its step is enqueued
    if "delay" in options:
        del given["due"]
        plan["delay"] = seconds_of(options["delay"], "delay")
    if "expires" in options and not isinstance(options["expires"], datetime):
        del given["expires"]
        plan["expires"] = seconds_of(options["expires"], "expires")
    return plan


def encode_steps(plans: Sequence[Plan], codec: Codec) -> str:
    """Return steps as the text of a header; raise `CannotEncode` if an argument has no form."""
    return f"{codec.content_type} {b64encode(codec.dumps({'steps': plans})).decode()}"


def decode_steps(task: NewTask, codec: Codec) -> Sequence[Plan]:
    """Return the later steps that a task carries; raise `CannotDecode` if they cannot be read."""
    header = task.headers.get(CHAIN_HEADER)
    if header is None:
        return ()
    kind, _, text = header.rpartition(" ")
    try:
        sealed = b64decode(text, validate=True)
    except (NoBase64, ValueError):
        raise CannotDecode("the rest of its chain is no base64") from None
    try:
        plans = codec.loads(sealed, kind, dict[str, list[Plan]]).get("steps")
    except UnknownFormat as error:
        # that its payload could be read says that nobody's format is newer
        raise CannotDecode(f"the rest of its chain cannot be read: {error}") from None
    if not plans:
        raise CannotDecode("the rest of its chain has no steps")
    return plans


def ids_of_steps(task: NewTask, plans: Sequence[Plan]) -> Iterator[tuple[str, TaskId]]:
    """Yield the queue and the id that each later step of a task has, or will have."""
    queue, name = task.queue, task.id
    for plan in plans:
        fields = plan["task"]
        name = fields.get("id") or next_id(queue, name)
        queue = fields.get("queue", _DEFAULTS["queue"])
        yield queue, name


def next_step_task(task: NewTask, value: object, codec: Codec, now: Moment) -> NewTask:
    """Return the task of the next step, given the result of the one before it.

    Raises `CannotEncode` for a result that has no form in the serializer's format.
    """
    plan, *rest = decode_steps(task, codec)
    arguments = plan["arguments"]
    if plan["takes"] is not None:
        arguments = {**arguments, plan["takes"]: value}
    # a later version of qcore may have written fields that this one does not know
    fields = {name: each for name, each in plan["task"].items() if name in _DEFAULTS}
    _, fields["id"] = next(ids_of_steps(task, [plan]))
    fields |= _timed(plan, now)
    if plan["unique"]:
        digests = codec.digests(arguments) | plan.get("digests", {})
        fields["unique_key"] = key_of(fields["name"], digests)
    chained = {**after(task), **({CHAIN_HEADER: encode_steps(rest, codec)} if rest else {})}
    if chained:
        fields["headers"] = {**fields.get("headers", {}), **chained}
    fields |= {"payload": codec.dumps(arguments), "content_type": codec.content_type}
    return NewTask(**fields)


def _timed(plan: Plan, now: Moment) -> dict[str, Moment]:
    """Return the moments at which a step is due and expires, as far as its options name them."""
    given = plan["task"]
    due = now + plan["delay"] if "delay" in plan else given.get("due")
    expires = now + plan["expires"] if "expires" in plan else given.get("expires")
    if due is not None and expires is not None and expires <= due:
        # the steps before took longer than it may wait: stored all the same, it expires at once
        given.pop("due", None)
        due, expires = None, now
    moments = {"due": due, "expires": expires}
    return {name: moment for name, moment in moments.items() if moment is not None}
