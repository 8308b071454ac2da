"""Envelopes: what a place that must not read an object holds of it.

::

    sealer = Sealer(dek := new_dek(), context := Context("health", "patients/42.json", version, "restricted+health"))
    body = sealer.seal(plaintext)                  # or in parts: seal_into; or as a stream: SealingReader
    record = Record(kid, wrapped, sealer.head, seal_metadata(dek, context, {"size": len(plaintext)}))
    plaintext = Opener(dek, context, record.head).open(body)

The body is exactly one Cobblestone-256 message, a published format that other libraries open. It is bound to its
context: swapped, renamed or relabelled, it does not open. docs/format.md has the bytes.
"""

from __future__ import annotations

from sovbroker.envelope.context import Context
from sovbroker.envelope.layout import CHUNK, HEAD, TAG, Span, plain_size, sealed_size, span
from sovbroker.envelope.metadata import open_metadata, seal_metadata
from sovbroker.envelope.opener import Opener
from sovbroker.envelope.padding import TRAILER, padded_size, padding, told_size
from sovbroker.envelope.record import ClearRecord, Record, read_entry, read_sidecar
from sovbroker.envelope.sealer import Sealer
from sovbroker.envelope.secret import Secret, new_dek
from sovbroker.envelope.streams import OpeningReader, SealingReader

__all__ = [
    "CHUNK",
    "HEAD",
    "TAG",
    "TRAILER",
    "ClearRecord",
    "Context",
    "Opener",
    "OpeningReader",
    "Record",
    "Sealer",
    "SealingReader",
    "Secret",
    "Span",
    "new_dek",
    "open_metadata",
    "padded_size",
    "padding",
    "plain_size",
    "read_entry",
    "read_sidecar",
    "seal_metadata",
    "sealed_size",
    "span",
    "told_size",
]
