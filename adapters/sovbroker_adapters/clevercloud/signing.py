"""Signatures of OAuth 1.0a with HMAC-SHA512, of requests whose body is not a form."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

__all__ = ["signed"]

PORTS: Final = {"https": 443, "http": 80}


def signed(method: str, url: str, secrets: Mapping[str, str], *, stamp: int, nonce: str) -> str:
    """Return the header `Authorization` of a request, at a time in seconds since 1970."""
    given = {
        "oauth_consumer_key": secrets["consumer_key"],
        "oauth_token": secrets["token"],
        "oauth_signature_method": "HMAC-SHA512",
        "oauth_timestamp": str(stamp),
        "oauth_nonce": nonce,
        "oauth_version": "1.0",
    }
    parts = urlsplit(url)
    usual = parts.port in {None, PORTS.get(parts.scheme)}
    host = (parts.hostname or "").lower() + ("" if usual else f":{parts.port}")
    base = f"{parts.scheme}://{host}{parts.path or '/'}"
    pairs = [*parse_qsl(parts.query, keep_blank_values=True), *given.items()]
    listed = "&".join("=".join(pair) for pair in sorted((_safe(name), _safe(value)) for name, value in pairs))
    text = "&".join((method.upper(), _safe(base), _safe(listed)))
    key = f"{_safe(secrets['consumer_secret'])}&{_safe(secrets['token_secret'])}"
    given["oauth_signature"] = base64.b64encode(hmac.new(key.encode(), text.encode(), "sha512").digest()).decode()
    return "OAuth " + ", ".join(f'{_safe(name)}="{_safe(value)}"' for name, value in sorted(given.items()))


def _safe(text: str) -> str:
    return quote(text, safe="~")
