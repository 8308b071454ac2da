"""The storage account: its name, its URL and its secret, all of the same cloud."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from sovbroker.errors import ConfigError, PermissionDenied
from sovbroker.ports import Binding
from sovbroker_adapters.azure.settings import Settings
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.settings import SCHEMES

__all__ = ["Account"]

NAME: Final = re.compile(r"[a-z0-9]{3,24}")
CONTAINER: Final = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Account:
    """An account at its `url`, with its `key` or a `sas` token."""

    name: str
    url: str
    key: str | None = field(repr=False)
    sas: str | None = field(repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("an account cannot be pickled")

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return urlsplit(self.url).scheme

    @classmethod
    def of(cls, binding: Binding, settings: Settings) -> Account:
        """Read the account of a binding. Raises ConfigError for what could only fail later, and less clearly."""
        return Checking(binding, settings).account()


@dataclass(frozen=True, slots=True)
class Checking:
    """A binding whose account is being read."""

    binding: Binding
    settings: Settings

    def account(self) -> Account:
        """Return the account."""
        binding, given = self.binding, self.binding.endpoint
        if CONTAINER.fullmatch(binding.container) is None:
            raise self.wrong(f"`{binding.container}` is no name of a container: 3 to 63 of a-z, 0-9 and single hyphens")
        if not binding.hosts:
            raise self.wrong("an Azure target needs the hosts that it may talk to")
        if given is None:
            raise self.wrong("an Azure target needs the endpoint of its account")
        url = urlsplit(given)
        host = (url.hostname or "").lower()
        if url.scheme not in SCHEMES or not host or url.query or url.fragment or url.username is not None:
            raise self.wrong(f"the endpoint `{host or given}` is not of the form https://ACCOUNT.blob.SUFFIX")
        for name in {host, *(urlsplit(f"//{allowed}").hostname or "" for allowed in binding.hosts)}:
            self._check_cloud(name)
        self._check_allowed(given, host)
        name = self._name(host, url.path.strip("/"))
        root = f"{url.scheme}://{url.netloc.lower()}"
        key, sas = self._secrets(host)
        return Account(name, f"{root}/{name}" if self.settings.in_path else root, key, sas)

    def _check_cloud(self, host: str) -> None:
        """Refuse a host of another cloud: its laws are others, and a key must not be shown to it."""
        suffix = self.settings.suffix
        if suffix is None or host.endswith(f".blob.{suffix}"):
            return
        if ".blob." in host:
            raise self.wrong(f"`{host}` belongs to another cloud; the accounts of this one end in `.blob.{suffix}`")

    def _check_allowed(self, endpoint: str, host: str) -> None:
        suffix = self.settings.suffix
        if suffix is not None and not self.settings.in_path and not host.endswith(f".blob.{suffix}"):
            raise self.wrong(f"the endpoint `{host}` is not `ACCOUNT.blob.{suffix}`")
        try:
            check_host(endpoint, hosts=self.binding.hosts, target=self.binding.target)
        except PermissionDenied as error:
            raise self.wrong(f"the endpoint `{endpoint}` is not among the hosts of this target") from error

    def _name(self, host: str, path: str) -> str:
        """Return the account's name, from wherever it is given: all have to agree."""
        said = {self.settings.account, self.binding.credentials.get("account")}
        if self.settings.in_path:
            said.add(path or None)
        elif path:
            raise self.wrong(f"the endpoint has a path, `{path}`; it is only the host with the account's name")
        else:
            said.add(host.partition(".")[0] if ".blob." in host else None)
        found = sorted(name for name in said if name is not None)
        if not found:
            raise self.wrong("nothing names the account; give `account` with the credentials")
        if len(found) > 1:
            raise self.wrong(f"the binding names several accounts: {', '.join(f'`{name}`' for name in found)}")
        if NAME.fullmatch(found[0]) is None:
            raise self.wrong(f"`{found[0]}` is no name of an account: 3 to 24 of a-z and 0-9")
        return found[0]

    def _secrets(self, host: str) -> tuple[str | None, str | None]:
        key, sas = (self.binding.credentials.get(name) for name in ("access_key", "sas"))
        if (key is None) == (sas is None):
            raise self.wrong("no credentials, or too many: give `access_key`, a key of the account, or `sas`")
        if key is not None:
            try:
                base64.b64decode(key, validate=True)
            except (binascii.Error, ValueError):
                message = "`access_key` is not base64; of a connection string, give what stands after `AccountKey=`"
                raise self.wrong(message) from None
        return key, None if sas is None else self._token(sas, host)

    def _token(self, sas: str, host: str) -> str:
        """Return the token of a `sas`; a URL that holds it has to be of this account."""
        url = urlsplit(sas)
        if url.scheme:
            if (url.hostname or "").lower() != host:
                raise self.wrong(f"`sas` is a URL of another account, at `{url.hostname}`")
            sas = url.query
        token = sas.removeprefix("?")
        if "sig" not in parse_qs(token):
            raise self.wrong("`sas` has no signature (`sig=`)")
        return token

    def wrong(self, why: str) -> ConfigError:
        """Return the error of this binding."""
        return ConfigError(f"{self.binding.target}: {why}")
