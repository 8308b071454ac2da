from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import Context, open_metadata, seal_metadata
from sovbroker.envelope.chunks import expand
from sovbroker.errors import InvalidArgument, SealError, Tampered, UnknownFormat

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MAPPINGS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 1 << 52),
        "type": TEXT | st.none(),
        "user": st.dictionaries(TEXT, TEXT, max_size=5),
        "é": st.lists(TEXT | st.booleans(), max_size=3),
    },
)


@given(mapping=MAPPINGS)
@settings(deadline=None)
def test_what_was_sealed_comes_back_with_the_label(mapping, dek, context):
    sealed = seal_metadata(dek, context, mapping)
    assert open_metadata(dek, context, sealed) == {**mapping, "label": context.label}
    assert open_metadata(dek, context.without_label(), sealed)["label"] == context.label
    assert seal_metadata(dek, context, mapping) != sealed


def test_the_size_tells_no_more_than_a_multiple_of_64(dek, context):
    sizes = {len(seal_metadata(dek, context, {"user": {"a": "x" * n}})) for n in range(200)}
    assert all((size - 28) % 64 == 0 for size in sizes)
    assert len(sizes) <= 5


@pytest.mark.parametrize("field", ["domain", "key", "version", "label"])
def test_another_context_is_refused(field, dek, context):
    sealed = seal_metadata(dek, context, {"size": 1})
    with pytest.raises(Tampered):
        open_metadata(dek, replace(context, **{field: "other"}), sealed)


def test_another_key_is_refused(dek, context):
    with pytest.raises(Tampered):
        open_metadata(bytes(32), context, seal_metadata(dek, context, {}))


def test_any_flipped_byte_and_any_length_is_refused(dek, context):
    sealed = seal_metadata(dek, context, {"user": {"a": "b"}})
    for at in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[at] ^= 4
        with pytest.raises(Tampered):
            open_metadata(dek, context, damaged)
        with pytest.raises(Tampered):
            open_metadata(dek, context, sealed[:at])
    with pytest.raises(Tampered):
        open_metadata(dek, context, sealed + bytes(64))


def test_the_label_is_the_contexts(dek, context):
    assert open_metadata(dek, context, seal_metadata(dek, context, {"label": context.label}))["label"] == context.label
    with pytest.raises(InvalidArgument):
        seal_metadata(dek, context, {"label": "public"})
    with pytest.raises(InvalidArgument):
        seal_metadata(dek, context.without_label(), {})


@pytest.mark.parametrize("value", [object(), b"x", float("nan"), {1, 2}, "\udc80"])
def test_what_json_cannot_hold_is_refused(value, dek, context):
    with pytest.raises(InvalidArgument):
        seal_metadata(dek, context, {"user": value})


def test_a_mapping_that_holds_itself_is_refused(dek, context):
    loop = {}
    loop["again"] = loop
    with pytest.raises(InvalidArgument):
        seal_metadata(dek, context, loop)


@pytest.mark.parametrize("text", [b"[]", b"not json", b"\xff", b"[" * 3000, b"1" * 5000])
def test_what_a_newer_version_sealed_is_told_apart(text, dek):
    context = Context("d", "k", "v", "")
    info = b"sovbroker metadata 1" + b"".join(len(f).to_bytes(4, "big") + f for f in (b"d", b"k", b"v"))
    plain = len(text).to_bytes(4, "big") + text
    plain += bytes(-len(plain) % 64)
    sealed = bytes(12) + AESGCM(expand(dek, info=info, size=32)).encrypt(bytes(12), plain, None)
    with pytest.raises(UnknownFormat, match="newer") as caught:
        open_metadata(dek, context, sealed)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(data=st.binary(max_size=300))
@settings(deadline=None)
def test_only_seal_errors_escape(data, dek, context):
    with pytest.raises(SealError):
        open_metadata(dek, context, data)
