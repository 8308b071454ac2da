"""Signatures of version 4 for requests whose body is not signed: the same as the SDK's signer makes, in less time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

__all__ = ["Keys", "Signer"]

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
SHA256: Final = "sha256"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request is signed with."""

    access: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Signer:
    """Signs for one region of S3. Safe for threads; not picklable, as it holds a key made of a secret."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._made: tuple[Keys, str, bytes] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a signer cannot be pickled")

    def sign(
        self, method: str, path: str, query: str, *, headers: Mapping[str, str], keys: Keys, now: datetime
    ) -> dict[str, str]:
        """Return the headers that sign a request; `headers`, with lower-case names and the host, are signed as well.

        `path` and `query` are as they are sent, the query in the order of its names. `now` is UTC.
        """
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        added = {"x-amz-content-sha256": UNSIGNED, "x-amz-date": stamp}
        if keys.token is not None:
            added["x-amz-security-token"] = keys.token
        # A value is signed with one space where it has several.
        every = sorted((name, " ".join(value.split())) for name, value in (*headers.items(), *added.items()))
        signed = ";".join([name for name, _ in every])
        lines = "".join([f"{name}:{value}\n" for name, value in every])
        asked = f"{method}\n{path}\n{query}\n{lines}\n{signed}\n{UNSIGNED}"
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256(asked.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        signature = hmac.new(self._key(keys, stamp[:8]), text.encode(), SHA256).hexdigest()
        added["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
        return added

    def _key(self, keys: Keys, day: str) -> bytes:
        """Return the key of a day, made once."""
        made = self._made
        if made is not None and made[0] == keys and made[1] == day:
            return made[2]
        key = f"AWS4{keys.secret}".encode()
        for word in (day, self._region, "s3", "aws4_request"):
            key = hmac.new(key, word.encode(), SHA256).digest()
        self._made = keys, day, key
        return key
