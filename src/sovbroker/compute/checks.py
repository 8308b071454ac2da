"""What is looked at of a launch before anybody hears of it: its name, its script, and its secrets."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Final

from sovbroker.errors import InvalidArgument

__all__ = ["check_name", "check_user_data"]

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9./-]{0,61}[a-z0-9])?")
USER_DATA_MAX: Final = 16 << 10
SECRET_LEAST: Final = 4
SECRET_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
ENCODINGS: Final = ("utf-8", "utf-16-le", "utf-16-be")


def check_name(name: str) -> str:
    """Return the name of a machine. Raises InvalidArgument for one that not every provider takes."""
    if NAME.fullmatch(name) is None:
        raise InvalidArgument(
            f"`{name[:80]}` cannot name a machine; use 1 to 63 of a-z, 0-9, `.`, `/` and `-`, a letter or digit at "
            "either end"
        )
    return name


def check_user_data(script: bytes, secrets: Mapping[str, str]) -> None:
    """Raise InvalidArgument for a script that is too long, or that holds a declared secret in any usual encoding."""
    if len(script) > USER_DATA_MAX:
        raise InvalidArgument(
            f"user_data takes {len(script)} bytes, and at most {USER_DATA_MAX} are allowed; fetch more"
        )
    for name, secret in secrets.items():
        if len(secret) < SECRET_LEAST:
            raise InvalidArgument(f"the secret `{name}` is shorter than {SECRET_LEAST} characters")
        if SECRET_NAME.fullmatch(name) is None:
            raise InvalidArgument(f"`{name[:80]}` cannot name a secret; use 1 to 64 letters, digits, `_`, `-` and `.`")
        if any(form in script for form in _spellings(secret)):
            raise InvalidArgument(
                f"user_data holds the secret `{name}`, and every provider keeps user_data where others read it; pass "
                "it as `secrets=` alone"
            )


def _spellings(secret: str) -> Iterator[bytes]:
    """Yield how a secret may stand in a text: plain, percent-encoded, hexadecimal, base64 at each alignment."""
    yield urllib.parse.quote(secret, safe="").encode()
    for encoding in ENCODINGS:
        plain = secret.encode(encoding)
        yield from (plain, plain.hex().encode(), plain.hex().upper().encode())
        for shift in range(3):
            # The characters that only the secret decides: whatever stands around it.
            coded = base64.b64encode(bytes(shift) + plain)
            inner = coded[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6]
            yield from (inner, inner.translate(bytes.maketrans(b"+/", b"-_")))
