"""The contract over Redis, where each task that may be in a block is in one."""

import sys

import pytest

from qcore.adapters.links.redis import Script
from qcore.adapters.redis import enqueue
from qcore.adapters.redis.encoding import MARK, StoredId, decode_id, encode_id
from qcore.adapters.redis.scripts import assembled
from qcore.domain.new_task import TaskId
from tests.contract import test_redis

FEWEST = "local FEWEST = 8"
"""Of lua/lib/blocks.lua: fewer tasks of one enqueue go into no block."""


def packable(task: TaskId) -> StoredId:
    """Encode an id of up to 15 bytes as long as those that blocks have room for."""
    name = task.encode()
    return MARK + bytes([len(name)]) + name.ljust(15, b"\0") if len(name) < 16 else encode_id(task)


def unpacked(name: bytes) -> TaskId:
    """Decode it."""
    return name[2 : 2 + name[1]].decode() if name[:1] == MARK and name[1] < 16 else decode_id(name)


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each pending task of priority 0 in a block, also one that comes alone."""
    text = assembled("enqueue", with_fast_path=False).text
    assert FEWEST in text
    monkeypatch.setattr(enqueue, "ENQUEUE", Script(text.replace(FEWEST, "local FEWEST = 1")))
    for name, module in sys.modules.items():
        if name.startswith("qcore.adapters.redis."):
            for replaced, by in (("encode_id", packable), ("decode_id", unpacked)):
                if hasattr(module, replaced):
                    monkeypatch.setattr(module, replaced, by)


@pytest.mark.usefixtures("in_blocks")
class TestInBlocks(test_redis.TestOnAFake):
    """It is kept whatever becomes of them."""
