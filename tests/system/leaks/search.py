"""Looking for key bytes in a heap of text and files, in every spelling that a program gives bytes by accident."""

import base64
import json
import re
import urllib.parse
import zlib

LEAST = 6
COMPRESSED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")


def aligned(secret, encode, *, unit, bits):
    """Yield what every text holds that was encoded with `secret` somewhere in it: the characters of its bytes alone."""
    for shift in range(unit):
        whole = encode(bytes(shift) + secret + bytes(unit))
        yield whole[-(-shift * 8 // bits) : (shift + len(secret)) * 8 // bits]


def literals(secret):
    """Yield what stands in a literal of Python or JSON, once or twice."""
    for text in (repr(secret)[2:-1], repr(b"'" + secret)[3:-1], repr(b"'\"" + secret)[5:-1]):
        yield "escaped", text.encode(), "as it is"
        yield "escaped", text.replace("\\", "\\\\").encode(), "as it is"
    yield "escaped", repr(repr(secret))[4:-3].encode(), "as it is"
    yield "escaped", "".join(f"\\x{byte:02x}" for byte in secret).encode(), "lower"
    for charset in ("latin-1", "utf-8"):
        try:
            decoded = secret.decode(charset)
        except UnicodeDecodeError:
            continue
        yield "json", json.dumps(decoded)[1:-1].encode(), "as it is"
        yield "text", decoded.encode(), "as it is"


def spellings(secret):
    """Yield (how, pattern, case): the pattern is looked for in what was folded to `case`."""
    yield "raw", secret, "as it is"
    yield "hex", secret.hex().encode(), "lower"
    for sign in (b":", b" ", b"-"):
        yield "hex", secret.hex(sign.decode()).encode(), "lower"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for form in aligned(secret, encode, unit=3, bits=6):
            yield "base64", form, "joined"
    for encode in (base64.b32encode, base64.b32hexencode):
        for form in aligned(secret, encode, unit=5, bits=5):
            yield "base32", form, "upper"
    for safe in ("", "/", "/:@"):
        yield "percent", urllib.parse.quote(secret, safe=safe).upper().encode(), "upper"
    yield "percent", "".join(f"%{byte:02X}" for byte in secret).encode(), "upper"
    yield from literals(secret)
    for sign in (", ", ",", " ", "\n"):
        yield "numbers", sign.join(map(str, secret)).encode(), "as it is"
        yield "numbers", sign.join(f"0x{byte:02x}" for byte in secret).encode(), "lower"
    yield "number", str(int.from_bytes(secret, "big")).encode(), "as it is"
    yield "number", str(int.from_bytes(secret, "little")).encode(), "as it is"
    yield "reversed", secret[::-1], "as it is"


class Heap:
    """Data, folded once and looked into often."""

    def __init__(self, data):
        self._layers = [self._folded(layer) for layer in (data, *inflated(data))]

    @staticmethod
    def _folded(data):
        return {
            "as it is": data,
            "lower": data.lower(),
            "upper": data.upper(),
            "joined": data.translate(None, b"\r\n"),
        }

    def saw(self, secret):
        """Return how `secret` stands in the data; [] when it does not."""
        return sorted(
            {
                how
                for how, pattern, case in spellings(secret)
                if len(pattern) >= LEAST
                for layer in self._layers
                if pattern in layer[case]
            }
        )


def inflated(data):
    """Yield what was compressed: some libraries send and log it so."""
    for match in COMPRESSED.finditer(data):
        stream = zlib.decompressobj(31 if match[0].startswith(b"\x1f") else 15)
        try:
            found = stream.decompress(data[match.start() :], 1 << 20)
        except zlib.error:
            continue
        if found:
            yield found
