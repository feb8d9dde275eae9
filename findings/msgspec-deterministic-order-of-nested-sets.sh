#!/usr/bin/env bash
# msgspec 0.22.0: `Encoder(order="deterministic")` writes a set of frozensets in another order in
# another process.
#
# Seen: its documentation promises that sets are sorted before they are written, so that equal values
# have equal bytes. A set of texts or numbers is. A set of frozensets is not: `<` of two sets means
# "is a subset of", so that sorting leaves them in the order of their hashes, which PYTHONHASHSEED
# chooses. Whoever makes a unique key, a cache key or a signature of such bytes gets several for one
# value. What helps: sort by the encoded form of each member.
#
# Exits 0 while that is so, and not 0 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'msgspec==0.22.0'

encoded() { # an expression -> its bytes in eight processes, each with a seed of its own, once each
    for seed in 0 1 2 3 4 5 6 7; do
        PYTHONHASHSEED=$seed "$folder/venv/bin/python" -c "
import msgspec
print(msgspec.json.Encoder(order='deterministic').encode($1).decode())"
    done | sort -u
}

flat=$(encoded '{"anna", "bert", "carl"}')
nested=$(encoded '{frozenset({"anna"}), frozenset({"bert"}), frozenset({"carl"})}')
printf 'a set of texts:\n%s\na set of frozensets:\n%s\n' "$flat" "$nested"
[[ $flat == '["anna","bert","carl"]' ]]
[[ $(wc -l <<<"$nested") -gt 1 ]]
