"""What a task that is built anew has in common with one that is stored: the same values.

Their bytes may differ all the same. What is encrypted has a nonce of its own each time that it is
written, and a set is written in an order that differs from process to process.
"""

from collections.abc import Callable

from attrs import evolve

from qcore.app.calls.call import Call, TaskRequest
from qcore.app.calls.chain_header import decode_steps
from qcore.app.calls.chain_steps import CHAIN_HEADER
from qcore.app.calls.codec import Codec
from qcore.domain.errors import CannotDecode, CannotEncode
from qcore.domain.new_task import NewTask


def with_stored_bytes(
    built: NewTask, stored: NewTask, request: TaskRequest, codec: Codec
) -> NewTask:
    """Return the task built for a request, with the bytes of `stored` where these say the same.

    Not where they are sealed by a key that seals no more: it is to be removed some day.
    """
    if not isinstance(request, Call) or not codec.writes_like(stored.payload, stored.content_type):
        return built
    signature = request.signature

    def arguments(task: NewTask) -> object:
        kind = task.content_type or codec.content_type
        return codec.digests(signature.named(task.payload, kind, codec))

    def later_steps(task: NewTask) -> object:
        return codec.unsealed(decode_steps(task, codec))

    if _say_the_same(arguments, built, stored):
        built = evolve(built, payload=stored.payload)
    if CHAIN_HEADER in built.headers and _say_the_same(later_steps, built, stored):
        headers = {**built.headers, CHAIN_HEADER: stored.headers[CHAIN_HEADER]}
        built = evolve(built, headers=headers)
    return built


def _say_the_same(read: Callable[[NewTask], object], one: NewTask, other: NewTask) -> bool:
    try:
        return read(one) == read(other)
    except (CannotDecode, CannotEncode):
        # of a handler that had other arguments, or sealed by a key that is gone
        return False
