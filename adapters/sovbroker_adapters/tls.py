"""What TLS trusts: the same for every connection that an adapter makes by itself, and nothing of the environment."""

from __future__ import annotations

import ssl
from pathlib import Path

from sovbroker.errors import ConfigError

__all__ = ["trust"]


def trust(bundle: str | Path | None, *, target: str) -> ssl.SSLContext:
    """Return what trusts the certificates of `bundle` alone, or else those of certifi.

    Raises ConfigError, which names `target`. Not `ssl.create_default_context`: that writes down the keys of its
    sessions where a variable of the environment says so.
    """
    if bundle is None:
        import certifi  # noqa: PLC0415 - not every adapter needs it

        bundle = certifi.where()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=str(bundle))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{target}: the certificates of `{bundle}` cannot be read: {error}") from error
    return context
