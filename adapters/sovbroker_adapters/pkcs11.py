"""A key of a hardware security module, by PKCS#11. The key never leaves the module.

`KeyBinding.key` is the label of an AES key of 256 bits that may encrypt and decrypt. The credential is `pin`. Settings:

================== ============================ ==================================================================
`module`           path                         the module's library, such as `/usr/lib/softhsm/libsofthsm2.so`
`token`            text                         the label of the token that holds the key
================== ============================ ==================================================================

The secret is encrypted by AES-GCM under a fresh nonce, with the digest of the context as associated data. Modules that
make the nonce themselves are not supported.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NoReturn

from sovbroker.errors import ConfigError, KeyUnavailable, SealError, Tampered
from sovbroker.ports import Binding, KeyBinding
from sovbroker_adapters.contexts import bound, digest, unbound
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.settings import Reading

__all__ = ["HsmService", "build"]

MISSING: Final = "python-pkcs11 is not installed; run `pip install 'sovbroker[pkcs11]'`"
KNOWN: Final = ("module", "token")
NONCE: Final = 12
TAG: Final = 16
WRAPPED_MAX: Final = 1024
DAMAGE: Final = frozenset({"EncryptedDataInvalid", "EncryptedDataLenRange", "DataInvalid", "DataLenRange"})
VAGUE: Final = frozenset({"GeneralError", "FunctionFailed"})
WHY: Final = {
    "NoSuchKey": "there is no such key",
    "NoSuchToken": "there is no such token",
    "PinIncorrect": "the pin is wrong",
    "PinLocked": "the pin is locked after too many wrong ones",
    "KeyFunctionNotPermitted": "the key may not do this",
}


_turns = PerProcess(threading.Lock)
_libraries: dict[str, int] = {}


def _loaded(module: str) -> Any:  # noqa: ANN401 - the SDK's own type
    """Return a module's library; in a child of a fork it is told to begin anew: what it knew does not hold there."""
    library = import_module("pkcs11").lib(module)
    if _libraries.setdefault(module, os.getpid()) != os.getpid():
        library.reinitialize()
        _libraries[module] = os.getpid()
    return library


def build(binding: KeyBinding, /) -> HsmService:
    """Open the key `binding.key`. Raises ConfigError when the binding cannot work; makes no call of the module."""
    try:
        import_module("pkcs11")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    reading = Reading(Binding(binding.name, binding.key, settings=binding.settings))
    reading.check_names(KNOWN)
    module, token = reading.path("module"), reading.text("token")
    if module is None or token is None:
        raise ConfigError(f"{binding.name}: an HSM needs the settings `module` and `token`")
    if not module.is_file():
        raise ConfigError(f"{binding.name}: there is no library `{module}`")
    if not binding.credentials.get("pin"):
        raise ConfigError(f"{binding.name}: no credentials: give `pin`")
    return HsmService(binding, module=str(module), token=token)


class HsmService:
    """A `KeyService` over one key of one token. Safe for threads and after a fork; not picklable."""

    def __init__(self, binding: KeyBinding, *, module: str, token: str) -> None:
        self.name = binding.name
        self._binding = binding
        self._module = module
        self._token = token

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """See `KeyService.wrap`."""
        plain, nonce = bound(secret, context), os.urandom(NONCE)
        sealed = self._use(lambda key: key.encrypt(plain, **self._gcm(nonce, context)))
        return nonce + bytes(sealed)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyService.unwrap`."""
        if not NONCE + TAG < len(wrapped) <= WRAPPED_MAX:
            raise Tampered
        nonce, sealed = wrapped[:NONCE], wrapped[NONCE:]
        plain = self._use(lambda key: self._opened(key, sealed, self._gcm(nonce, context)), opening=True)
        return unbound(bytes(plain), context)

    def close(self) -> None:
        """See `KeyService.close`: nothing stays open between two calls."""

    def __repr__(self) -> str:
        """Print which key it is, and no secret."""
        return f"HsmService(name={self.name!r}, token={self._token!r}, key={self._binding.key!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a key service cannot be pickled: it holds secrets")

    @staticmethod
    def _gcm(nonce: bytes, context: bytes) -> dict[str, object]:
        pkcs11 = import_module("pkcs11")
        parameters = pkcs11.GCMParams(nonce, digest(context).encode("ascii"), 8 * TAG)
        return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}

    def _opened(self, key: Any, sealed: bytes, how: dict[str, object]) -> bytes:  # noqa: ANN401 - the SDK's own type
        """Decrypt. Some modules call every failure general: then what must work tells which of the two is wrong."""
        try:
            return bytes(key.decrypt(sealed, **how))
        except Exception as error:
            if type(error).__name__ not in VAGUE:
                raise
            probe = self._gcm(os.urandom(NONCE), b"probe")
            if bytes(key.decrypt(key.encrypt(b"probe", **probe), **probe)) != b"probe":
                raise
            raise Tampered from error

    def _use(self, call: Callable[[Any], Any], *, opening: bool = False) -> Any:  # noqa: ANN401 - the SDK's own types
        """Log in, use the key, log out. Whatever fails is an error of ours."""
        try:
            pkcs11 = import_module("pkcs11")
            # A module knows one login of a process to a token, and whoever logs out ends it for everybody.
            with (
                _turns.get(),
                _loaded(self._module)
                .get_token(token_label=self._token)
                .open(user_pin=self._binding.credentials.get("pin")) as session,
            ):
                return call(
                    session.get_key(
                        object_class=pkcs11.ObjectClass.SECRET_KEY, key_type=pkcs11.KeyType.AES, label=self._binding.key
                    )
                )
        except Exception as error:
            raise self._failure(error, opening=opening) from error

    def _failure(self, error: Exception, *, opening: bool) -> SealError:
        """Return our error for what went wrong. The module's own words may hold what it was given: only kinds count."""
        kind = type(error).__name__
        if isinstance(error, SealError):
            return error
        if opening and kind in DAMAGE:
            return Tampered()
        why = WHY.get(kind, f"the module says {kind}")
        return KeyUnavailable(f"the key `{self._binding.key}` of {self.name}: {why}")
