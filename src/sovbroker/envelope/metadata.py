"""What is known of an object, sealed beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sovbroker.envelope.chunks import expand
from sovbroker.envelope.context import Context, encode_fields
from sovbroker.envelope.layout import TAG, Buffer
from sovbroker.envelope.secret import KEY, Secret, secret_bytes
from sovbroker.errors import InvalidArgument, Tampered, UnknownFormat

__all__ = ["PAD", "is_sealed_metadata", "open_metadata", "seal_metadata"]

PAD: Final = 64
NONCE: Final = 12
LENGTH: Final = 4
INFO: Final = b"sovbroker metadata 1"
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def seal_metadata(dek: Secret | Buffer, context: Context, mapping: Mapping[str, object]) -> bytes:
    """Return `mapping` (JSON types) with the context's label, sealed under a key of its own.

    The key is derived from the data encryption key and the context without its label, because a reader who has lost the
    state learns the label here: it becomes the entry `label`. The size tells no more than a multiple of 64 bytes. May
    be called again for the same key: the nonce is random. Raises InvalidArgument for what JSON cannot hold.
    """
    if mapping.get("label", context.label) != context.label or not context.label:
        raise InvalidArgument(f"the metadata's label must be the context's, `{context.label}`")
    try:
        text = _compact({**mapping, "label": context.label}).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument("metadata are names and JSON values in text that has a UTF-8 form") from error
    plain = len(text).to_bytes(LENGTH, "big") + text
    plain += bytes(-len(plain) % PAD)
    nonce = os.urandom(NONCE)
    return nonce + _cipher(dek, context).encrypt(nonce, plain, None)


def open_metadata(dek: Secret | Buffer, context: Context, sealed: Buffer) -> dict[str, object]:
    """Return what `seal_metadata` sealed, with `label`.

    A context with the label "" takes the label as it comes. Raises Tampered for anything that was not sealed under this
    key and context, and UnknownFormat for what a newer version sealed.
    """
    data = bytes(sealed)
    if not is_sealed_metadata(data):
        raise Tampered
    try:
        plain = _cipher(dek, context).decrypt(data[:NONCE], data[NONCE:], None)
    except InvalidTag:
        raise Tampered from None
    size = int.from_bytes(plain[:LENGTH], "big")
    try:
        mapping: object = json.loads(plain[LENGTH : LENGTH + size])
    except (ValueError, RecursionError):
        raise UnknownFormat("the sealed metadata were written by a newer version; update sovbroker") from None
    if not isinstance(mapping, dict):
        raise UnknownFormat("the sealed metadata were written by a newer version; update sovbroker")
    entries = cast("dict[str, object]", mapping)
    if context.label and entries.get("label") != context.label:
        raise Tampered
    return entries


def is_sealed_metadata(data: Buffer) -> bool:
    """Whether the size is one that sealed metadata have."""
    return len(data) >= NONCE + PAD + TAG and (len(data) - NONCE - TAG) % PAD == 0


def _cipher(dek: Secret | Buffer, context: Context) -> AESGCM:
    info = encode_fields(INFO, context.domain, context.key, context.version)
    return AESGCM(expand(secret_bytes(dek), info=info, size=KEY))
