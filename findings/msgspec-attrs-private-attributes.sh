#!/usr/bin/env bash
# msgspec 0.22.0 with attrs 26.1.0: a private attribute of an attrs class is not written, and comes back
# as its default; a class with `cache_hash=True` comes back without its cache.
#
# Seen: `_balance`, which attrs takes as the argument `balance`, is left out by `msgspec.json.encode`,
# without an error; decoding makes the object without calling its `__init__`, and so with the default.
# It can be read: `{"name": "Ann", "_balance": 7}` sets it. And as `__init__` is not called, a class
# with `cache_hash=True` lacks what `hash()` reads: AttributeError. Any queue, cache or API that passes
# attrs objects through msgspec changes such values in silence.
#
# Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'msgspec==0.22.0' 'attrs==26.1.0'

seen=$("$folder/venv/bin/python" - <<'PYTHON'
import attrs
import msgspec


@attrs.define
class Account:
    name: str
    _balance: int = 0


@attrs.frozen(cache_hash=True)
class Key:
    id: int


written = msgspec.json.encode(Account("Ann", balance=7))
print(written.decode())
print(msgspec.json.decode(written, type=Account))
print(msgspec.json.decode(b'{"name": "Ann", "_balance": 7}', type=Account))
try:
    hash(msgspec.json.decode(msgspec.json.encode(Key(1)), type=Key))
except AttributeError as error:
    print(error)
PYTHON
)
printf '%s\n' "$seen"
[[ $seen == $'{"name":"Ann"}
Account(name=\'Ann\', _balance=0)
Account(name=\'Ann\', _balance=7)
\'Key\' object has no attribute \'_attrs_cached_hash\'' ]]
