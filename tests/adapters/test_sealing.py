import base64
import hashlib
import hmac
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from qcore import InvalidOption
from qcore.adapters.sealing import EncryptedSerializer, SignedSerializer
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.errors import CannotDecode, CannotEncode
from qcore.ports import Serializer

T = TypeVar("T")
Kind = type[SignedSerializer] | type[EncryptedSerializer]

OLD = b"the-old-secret-of-just-32-bytes!"
NEW = b"the-new-secret-of-just-32-bytes!"
VALUE = {"user_id": 7, "email": "ann@example.com"}

signed_and_encrypted = pytest.mark.parametrize("kind", [SignedSerializer, EncryptedSerializer])


class Recorder:
    """A serializer that tells what it was shown."""

    content_type = "text/recorded"

    def __init__(self) -> None:
        self.shown: list[bytes] = []

    def dumps(self, value: object) -> bytes:
        return JsonSerializer().dumps(value)

    def loads(self, data: bytes, kind: type[T]) -> T:
        self.shown.append(data)
        return JsonSerializer().loads(data, kind)


def refused(serializer: Serializer, data: bytes) -> str:
    """Return why bytes cannot be decoded, which must be a reason that shows no secret."""
    with pytest.raises(CannotDecode) as raised:
        serializer.loads(data, object)
    told = "".join(traceback.format_exception(raised.value))
    assert OLD.decode() not in told
    assert NEW.decode() not in told
    return str(raised.value)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
    max_leaves=10,
)


class TestWhatIsStored:
    @signed_and_encrypted
    @pytest.mark.parametrize("inner", [None, JsonSerializer(), MessagePackSerializer()])
    @given(value=plain)
    def test_what_was_sealed_is_read_as_it_was(
        self, kind: Kind, inner: Serializer | None, value: object
    ) -> None:
        """A value comes back equal, whatever writes it inside the seal, or it is refused."""
        serializer = kind(inner, keys={"a": OLD})
        try:
            data = serializer.dumps(value)
        except CannotEncode:
            return
        assert serializer.loads(data, object) == value

    @pytest.mark.parametrize(
        ("serializer", "content_type"),
        [
            (SignedSerializer(keys={"a": OLD}), "application/json; sealed=hmac-sha256"),
            (EncryptedSerializer(keys={"a": OLD}), "application/json; sealed=aes-256-gcm"),
            (
                SignedSerializer(MessagePackSerializer(), keys={"a": OLD}),
                "application/msgpack; sealed=hmac-sha256",
            ),
        ],
    )
    def test_the_content_type_names_the_format_and_the_seal(
        self, serializer: Serializer, content_type: str
    ) -> None:
        """A reader knows from the stored name what it has before it."""
        assert serializer.content_type == content_type

    def test_a_signature_is_what_the_reference_says(self) -> None:
        """Version, id and its length, HMAC-SHA256 of all that it covers, and the body as it was."""
        data = SignedSerializer(keys={"2026-05": OLD}).dumps(VALUE)
        header = b"\x01\x072026-05"
        body = b'{"user_id":7,"email":"ann@example.com"}'
        covered = b"application/json; sealed=hmac-sha256\x00" + header + body
        assert data == header + hmac.digest(OLD, covered, hashlib.sha256) + body

    def test_a_signature_stays_the_same(self) -> None:
        """What was stored by an earlier release is read by a later one."""
        data = bytes.fromhex(
            "010161"  # version, length, "a"
            "7532220cbc47c5867c6dcd054ea0098ac19311e451a9ba832050f65950188201"
            "7b226e223a377d"
        )
        assert SignedSerializer(keys={"a": OLD}).loads(data, object) == {"n": 7}

    def test_what_is_encrypted_is_what_the_reference_says(self) -> None:
        """Version, id and its length, nonce, ciphertext and tag, bound to what comes before."""
        data = EncryptedSerializer(keys={"2026-05": OLD}).dumps(VALUE)
        header, nonce, rest = data[:9], data[9:21], data[21:]
        assert header == b"\x01\x072026-05"
        bound = b"application/json; sealed=aes-256-gcm\x00" + header
        body = AESGCM(OLD).decrypt(nonce, rest, bound)
        assert body == b'{"user_id":7,"email":"ann@example.com"}'
        assert len(rest) == len(body) + 16

    def test_what_is_encrypted_stays_the_same(self) -> None:
        """What was stored by an earlier release is read by a later one."""
        data = bytes.fromhex(
            "010161"  # version, length, "a"
            "c81be61ea42e5c25151f72ee"
            "98e00aad843ed22d65f5e79cd26f719bd0121be3894998"
        )
        assert EncryptedSerializer(keys={"a": OLD}).loads(data, object) == {"n": 7}

    def test_what_is_encrypted_cannot_be_read(self) -> None:
        """Nothing of the value is in the bytes, and the same value is never twice the same."""
        serializer = EncryptedSerializer(keys={"a": OLD})
        first, second = serializer.dumps(VALUE), serializer.dumps(VALUE)
        assert b"ann" not in first
        assert first != second
        assert first[3:15] != second[3:15], "a nonce was used twice"

    @signed_and_encrypted
    def test_what_has_no_form_is_refused_as_without_a_seal(self, kind: Kind) -> None:
        """What the inner serializer cannot write is its own error, which names the place."""
        with pytest.raises(CannotEncode, match=r"the object at \$ "):
            kind(keys={"a": OLD}).dumps(object())

    @signed_and_encrypted
    def test_what_does_not_fit_is_refused_as_without_a_seal(self, kind: Kind) -> None:
        """Under a right seal, a value of another shape is the inner serializer's own error."""
        serializer = kind(keys={"a": OLD})
        with pytest.raises(CannotDecode, match="Expected `int`, got `object`"):
            serializer.loads(serializer.dumps(VALUE), int)


class TestTampering:
    @signed_and_encrypted
    @given(value=plain, data=st.data())
    def test_a_byte_that_was_changed_anywhere_is_noticed(
        self, kind: Kind, value: object, data: st.DataObject
    ) -> None:
        """Header, signature, nonce, body, tag: whatever is flipped, the inner one is not asked."""
        inner = Recorder()
        # a second key of the same secret: an id that was changed into it is noticed too
        serializer = kind(inner, keys={"a": OLD, "b": OLD, "c": NEW})
        try:
            sealed = bytearray(serializer.dumps(value))
        except CannotEncode:
            return
        place = data.draw(st.integers(0, len(sealed) - 1))
        sealed[place] ^= data.draw(st.integers(1, 255))
        assert refused(serializer, bytes(sealed))
        assert inner.shown == []

    @signed_and_encrypted
    def test_every_bit_counts(self, kind: Kind) -> None:
        """Of one message, each bit is flipped in its turn, and each time it is noticed."""
        inner = Recorder()
        serializer = kind(inner, keys={"a": OLD, "b": OLD})
        sealed = serializer.dumps(VALUE)
        for bit in range(8 * len(sealed)):
            changed = bytearray(sealed)
            changed[bit // 8] ^= 1 << bit % 8
            refused(serializer, bytes(changed))
        assert inner.shown == []

    @signed_and_encrypted
    def test_what_was_cut_short_is_noticed(self, kind: Kind) -> None:
        """Wherever it ends too early, down to nothing at all."""
        inner = Recorder()
        serializer = kind(inner, keys={"a": OLD})
        sealed = serializer.dumps(VALUE)
        for length in range(len(sealed)):
            refused(serializer, sealed[:length])
            refused(serializer, sealed[len(sealed) - length :])
        assert inner.shown == []

    @signed_and_encrypted
    @given(more=st.binary(min_size=1))
    def test_what_was_added_is_noticed(self, kind: Kind, more: bytes) -> None:
        """At either end."""
        inner = Recorder()
        serializer = kind(inner, keys={"a": OLD})
        sealed = serializer.dumps(VALUE)
        refused(serializer, sealed + more)
        refused(serializer, more + sealed)
        assert inner.shown == []

    @signed_and_encrypted
    @given(data=st.binary())
    def test_bytes_of_any_kind_are_refused(self, kind: Kind, data: bytes) -> None:
        """Whatever the bytes, the answer is `CannotDecode`, even if they begin well."""
        inner = Recorder()
        serializer = kind(inner, keys={"a": OLD})
        refused(serializer, data)
        refused(serializer, b"\x01\x01a" + data)
        assert inner.shown == []

    @signed_and_encrypted
    def test_what_is_not_sealed_is_refused(self, kind: Kind) -> None:
        """Plain JSON and MessagePack have no seal, and the reason says so."""
        inner = Recorder()
        serializer = kind(inner, keys={"a": OLD})
        for each in (JsonSerializer(), MessagePackSerializer()):
            assert refused(serializer, each.dumps(VALUE)).startswith("it has no seal")
        assert inner.shown == []

    @signed_and_encrypted
    def test_a_seal_holds_for_its_content_type_alone(self, kind: Kind) -> None:
        """Bytes that mean one thing in JSON and another in MessagePack keep the one they had."""
        written = kind(JsonSerializer(), keys={"a": OLD}).dumps(7)
        reason = refused(kind(MessagePackSerializer(), keys={"a": OLD}), written)
        assert "the key 'a'" in reason
        assert "content type" in reason

    def test_one_kind_of_seal_is_not_read_as_another(self) -> None:
        """Even with one secret for both, a signed value is no encrypted one, nor the reverse."""
        keys = {"a": OLD}
        refused(EncryptedSerializer(keys=keys), SignedSerializer(keys=keys).dumps(VALUE))
        refused(SignedSerializer(keys=keys), EncryptedSerializer(keys=keys).dumps(VALUE))

    def test_a_signature_is_compared_in_constant_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What decides is `hmac.compare_digest`, over the whole signature."""
        compared: list[tuple[int, int]] = []

        def never(one: bytes, other: bytes) -> bool:
            compared.append((len(one), len(other)))
            return False

        serializer = SignedSerializer(keys={"a": OLD})
        sealed = serializer.dumps(VALUE)
        monkeypatch.setattr(hmac, "compare_digest", never)
        refused(serializer, sealed)
        assert compared == [(32, 32)]


class TestKeys:
    @signed_and_encrypted
    def test_the_first_key_seals_and_every_one_opens(self, kind: Kind) -> None:
        """A key is changed in three steps, and at each those who are behind read all there is."""
        steps = [
            {"old": OLD},
            {"old": OLD, "new": NEW},
            {"new": NEW, "old": OLD},
            {"new": NEW},
        ]
        sides = [kind(keys=keys) for keys in steps]
        for one, next_one in pairwise(sides):
            assert next_one.loads(one.dumps(VALUE), object) == VALUE
            assert one.loads(next_one.dumps(VALUE), object) == VALUE
        assert [side.dumps(VALUE)[2:5] for side in sides] == [b"old", b"old", b"new", b"new"]

    @signed_and_encrypted
    def test_a_key_that_is_unknown_is_named(self, kind: Kind) -> None:
        """What was sealed with a key that was removed says which, and which there are."""
        inner = Recorder()
        sealed = kind(inner, keys={"old": OLD}).dumps(VALUE)
        reason = refused(kind(inner, keys={"new": NEW, "newer": OLD}), sealed)
        assert (
            reason
            == "its seal is of the key 'old', which is unknown here: this side has new, newer"
        )
        assert inner.shown == []

    @signed_and_encrypted
    def test_another_secret_of_the_same_id_is_refused(self, kind: Kind) -> None:
        """An id is no proof: whoever knows it has not got the secret."""
        inner = Recorder()
        sealed = kind(inner, keys={"a": OLD}).dumps(VALUE)
        reason = refused(kind(inner, keys={"a": NEW}), sealed)
        assert reason.startswith("its seal is not that of the key 'a'")
        assert inner.shown == []

    @signed_and_encrypted
    @pytest.mark.parametrize("keys", [{"a": OLD, "b": NEW}, [("a", OLD), ("b", NEW)]])
    def test_keys_are_a_mapping_or_pairs(self, kind: Kind, keys: Any) -> None:
        """Either is in order, and the first is the one that seals."""
        assert kind(keys=keys).dumps(VALUE).startswith(b"\x01\x01a")

    def test_a_signing_secret_may_be_text(self) -> None:
        """It stands for its UTF-8, whatever characters it has."""
        text = "ein Schlüssel, der lang genug ist"
        sealed = SignedSerializer(keys={"a": text}).dumps(VALUE)
        assert SignedSerializer(keys={"a": text.encode()}).loads(sealed, object) == VALUE
        assert SignedSerializer(keys={"a": "\ud800" * 11}).dumps(VALUE)

    @pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
    def test_an_encrypting_secret_may_be_base64(self, encode: Callable[[bytes], bytes]) -> None:
        """Of either alphabet, as `openssl rand -base64 32` and Fernet write it."""
        secret = b"\xfb\xff" * 16
        sealed = EncryptedSerializer(keys={"a": secret}).dumps(VALUE)
        serializer = EncryptedSerializer(keys={"a": encode(secret).decode()})
        assert serializer.loads(sealed, object) == VALUE

    @pytest.mark.parametrize(
        ("keys", "complaint"),
        [
            ({}, "keys is empty: expected pairs of an id and a secret, at least one"),
            ([], "keys is empty"),
            (OLD, "keys is a bytes: expected pairs"),
            (OLD.decode(), "keys is a str: expected pairs"),
            ({OLD}, "keys is a set: expected pairs"),
            (None, "keys is a NoneType: expected pairs"),
            ([("a", OLD), NEW], "key 2 is no pair"),
            ([("a", OLD, NEW)], "key 1 is no pair"),
            ([("a", OLD), ("a", NEW)], "there are two keys 'a'"),
            ({OLD: "a"}, "the id of key 1 is not one: expected 1 to 31 of A-Z"),
            ({OLD.decode(): "a"}, "the id of key 1 is not one"),
            ({OLD.decode().replace("!", "x"): "a"}, "the id of key 1 is not one"),
            ({"a": OLD, "": NEW}, "the id of key 2 is not one"),
            ({"a b": OLD}, "the id of key 1 is not one"),
            ({"é": OLD}, "the id of key 1 is not one"),
            ({"a\n": OLD}, "the id of key 1 is not one"),
            ({"a": None}, "the secret of key 'a' is a NoneType: expected bytes or text"),
            ({"a": f"{OLD.decode()}\n"}, "the secret of key 'a' is text with blanks around it"),
        ],
    )
    @signed_and_encrypted
    def test_what_are_no_keys_is_refused(self, kind: Kind, keys: Any, complaint: str) -> None:
        """The error says which is wrong and what was expected, and shows no secret."""
        assert self.refused(kind, keys).startswith(complaint)

    @pytest.mark.parametrize(
        ("kind", "secret", "complaint"),
        [
            (SignedSerializer, OLD[:31], "31 bytes long: expected at least 32"),
            (SignedSerializer, OLD[:31].decode(), "31 bytes long: expected at least 32"),
            (SignedSerializer, b"", "0 bytes long: expected at least 32"),
            (EncryptedSerializer, OLD[:31], "31 bytes long: expected 32 bytes, or their base64"),
            (EncryptedSerializer, OLD + b"!", "33 bytes long: expected 32 bytes, or their base64"),
            (EncryptedSerializer, "c2hvcnQ=", "5 bytes long: expected 32 bytes, or their base64"),
            (EncryptedSerializer, OLD.decode(), "text that is no base64: expected 32 bytes"),
            (EncryptedSerializer, "Schlüssel", "text that is no base64: expected 32 bytes"),
        ],
    )
    def test_a_secret_of_a_wrong_length_is_refused(
        self, kind: Kind, secret: Any, complaint: str
    ) -> None:
        """The error names the key by its id, and what is expected."""
        told = self.refused(kind, {"good": NEW, "2026-05": secret})
        assert told.startswith(f"the secret of key '2026-05' is {complaint}")
        assert not secret or str(secret) not in told

    def refused(self, kind: Kind, keys: Any) -> str:
        """Return why keys are refused, which must show no part of a secret, nor must its causes."""
        with pytest.raises(InvalidOption) as raised:
            kind(keys=keys)
        assert raised.value.__context__ is None
        for secret in (OLD, NEW):
            assert secret.decode()[:8] not in str(raised.value)
        return str(raised.value)


class TestSilence:
    @signed_and_encrypted
    def test_a_serializer_shows_the_ids_of_its_keys_alone(self, kind: Kind) -> None:
        """What it is printed as tells keys apart, and tells nothing of a secret."""
        serializer = kind(keys={"new": NEW, "old": OLD})
        expected = f"<{kind.__name__} {serializer.content_type!r}, keys new, old>"
        assert repr(serializer) == str(serializer) == expected

    @signed_and_encrypted
    def test_no_secret_is_in_anything_that_can_be_printed(self, kind: Kind) -> None:
        """A traceback that shows the variables of every frame shows no secret in ours."""
        serializer = kind(keys={"new": NEW, "old": OLD})
        told = [repr(vars(serializer))]
        for data in (b"", b"\x01\x01x", serializer.dumps(VALUE)[:-1]):
            with pytest.raises(CannotDecode) as raised:
                serializer.loads(data, object)
            told += [repr(names) for names in variables(raised.value.__traceback__)]
        with pytest.raises(CannotEncode) as unencodable:
            serializer.dumps(object())
        told += [repr(names) for names in variables(unencodable.value.__traceback__)]
        assert len(told) == 6
        for secret in (OLD, NEW):
            assert not any(secret.decode()[:8] in each for each in told)

    @signed_and_encrypted
    def test_a_serializer_with_its_keys_cannot_be_pickled(self, kind: Kind) -> None:
        """So no secret travels where somebody pickles what they hold."""
        with pytest.raises(TypeError, match=r"pickle.*(HMAC|AESGCM)"):
            pickle.dumps(kind(Recorder(), keys={"a": OLD}))


def variables(trace: TracebackType | None) -> Iterator[dict[str, Any]]:
    """Yield the variables of each of our frames."""
    for frame, _ in traceback.walk_tb(trace):
        if Path(frame.f_code.co_filename).parent.name == "sealing":
            yield frame.f_locals


class TestExtra:
    def test_without_the_library_the_error_names_the_extra(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever encrypts without it is told what to install."""
        monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
        with pytest.raises(InvalidOption, match=r"qcore-queue\[encryption\]") as raised:
            EncryptedSerializer(keys={"a": OLD})
        assert OLD.decode() not in str(raised.value)

    def test_the_library_is_imported_by_who_encrypts_alone(self) -> None:
        """To sign needs no more than Python has, and an import is no use yet."""
        program = (
            "import sys; from qcore.adapters.sealing import EncryptedSerializer, SignedSerializer; "
            "SignedSerializer(keys={'a': 'x' * 32}).dumps(1); "
            "sys.exit('cryptography' in sys.modules)"
        )
        path = os.pathsep.join(part for part in sys.path if part)
        done = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, check=False
        )
        assert done.returncode == 0
