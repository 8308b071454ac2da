"""Signatures of requests: OSC4-HMAC-SHA256, which is AWS's fourth with other words."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

__all__ = ["CONTENT", "signed"]

ALGORITHM: Final = "OSC4-HMAC-SHA256"
CONTENT: Final = "application/json; charset=utf-8"
SERVICE: Final = "api"
HEADERS: Final = "content-type;host;x-osc-date"


def signed(
    body: bytes, *, path: str, host: str, region: str, access_key: str, secret_key: str, now: datetime
) -> Mapping[str, str]:
    """Return the headers of a POST of `body`. `host` is the header's own value, `now` is in UTC."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = "/".join((stamp[:8], region, SERVICE, "osc4_request"))
    headers = f"content-type:{CONTENT}\nhost:{host}\nx-osc-date:{stamp}\n"
    asked = "\n".join(("POST", path, "", headers, HEADERS, hashlib.sha256(body).hexdigest()))
    wanted = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(asked.encode()).hexdigest()))
    key = f"OSC4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, wanted.encode(), "sha256").hexdigest()
    told = f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={HEADERS}, Signature={signature}"
    return {"Content-Type": CONTENT, "Host": host, "X-Osc-Date": stamp, "Authorization": told}
