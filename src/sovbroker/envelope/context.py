"""What an envelope is bound to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sovbroker.envelope.layout import Buffer
from sovbroker.errors import InvalidArgument

__all__ = ["Context", "encode_fields", "encoded"]

TAG: Final = b"sovbroker context 1"


@dataclass(frozen=True, slots=True)
class Context:
    """The names under which one version of an object was sealed; it opens under exactly these and no others.

    `domain` is the key domain, `key` the logical key, `version` the version id, `label` the label's canonical spelling.
    The place is not part of it: a copy at another provider is the same envelope.
    """

    domain: str
    key: str
    version: str
    label: str

    def encode(self) -> bytes:
        """Return the bytes that are authenticated: the format's tag, then each field with its length.

        No two contexts share an encoding. Raises InvalidArgument for text that has no UTF-8 form.
        """
        return encode_fields(TAG, self.domain, self.key, self.version, self.label)

    def without_label(self) -> Context:
        """Return the same context with an empty label: what is known before the label is read."""
        return replace(self, label="")


def encode_fields(tag: bytes, /, *fields: str) -> bytes:
    """Return `tag` followed by each field: 4 bytes of length, big-endian, and its UTF-8 bytes."""
    parts = [tag]
    for field in fields:
        try:
            data = field.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"{field!a} is not text that has a UTF-8 form") from error
        parts += (len(data).to_bytes(4, "big"), data)
    return b"".join(parts)


def encoded(context: Context | Buffer) -> bytes:
    """Return the bytes of a context; bytes are taken as they are."""
    return context.encode() if isinstance(context, Context) else bytes(context)
