"""Tokens that a service account's key signs by itself (https://google.aip.dev/auth/4111): nobody is asked for one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.keyfiles import chosen, given_key

__all__ = ["SCOPE", "ServiceAccount"]

SCOPE: Final = "https://www.googleapis.com/auth/compute"
UNIVERSE: Final = "googleapis.com"
FIELDS: Final = ("client_email", "private_key", "private_key_id")
LASTS: Final = 3600
SPARE: Final = 600


class ServiceAccount:
    """A service account with its key, and its current token. Never printed, never pickled. Safe for threads."""

    def __init__(self, fields: Mapping[str, str], key: RSAPrivateKey, *, universe: str = UNIVERSE) -> None:
        self.universe = universe
        self._email = fields["client_email"]
        self._key_id = fields["private_key_id"]
        self._key = key
        self._token = ("", 0.0)

    @classmethod
    def of(cls, binding: Binding) -> ServiceAccount:
        """Read the account of a binding. Raises ConfigError, which repeats nothing of the key."""
        target, given = binding.target, binding.credentials.get("service_account")
        if given is None:
            raise ConfigError(f"{target}: no credentials: give `service_account`, the key of one or its file")
        info = given_key(given, target=target)
        if info.get("type") != "service_account":
            kind = str(info.get("type"))[:40]
            raise ConfigError(
                f"{target}: the credentials are of the type `{kind}`; only keys of service accounts will do"
            )
        fields = chosen(info, FIELDS, target=target)
        try:
            key = load_pem_private_key(fields["private_key"].encode(), password=None)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{target}: the service account's private key cannot be read") from error
        if not isinstance(key, RSAPrivateKey):
            raise ConfigError(f"{target}: the service account's private key is none of RSA")
        return cls(fields, key, universe=str(info.get("universe_domain") or UNIVERSE).lower())

    def __repr__(self) -> str:
        """Name the account, and no secret."""
        return f"ServiceAccount({self._email!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a service account cannot be pickled: it holds its key")

    def token(self, now: Callable[[], float] = time.time) -> str:
        """Return a token that is good for ten minutes at least."""
        token, until = self._token
        moment = now()
        # The clock may have been set back meanwhile: then the token is of the future.
        if not moment + SPARE <= until <= moment + LASTS:
            token, until = self._signed(int(moment)), int(moment) + LASTS
            self._token = (token, until)
        return token

    def _signed(self, moment: int) -> str:
        head = {"typ": "JWT", "alg": "RS256", "kid": self._key_id}
        claims = {
            "iss": self._email,
            "sub": self._email,
            "iat": moment,
            "exp": moment + LASTS,
            "scope": SCOPE,
        }
        said = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        return b".".join((said, _encoded(self._key.sign(said, PKCS1v15(), SHA256())))).decode()


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
