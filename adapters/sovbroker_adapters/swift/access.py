"""How one target is entered: its endpoint, its authority, and what is shown to the latter. Checked on opening."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.keystone import question
from sovbroker_adapters.peers import own_machine
from sovbroker_adapters.swift.settings import Settings
from sovbroker_adapters.tls import trust

__all__ = ["Access", "origin"]

PORTS: Final = {"https": 443, "http": 80}
MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[swift]'`"
SENDABLE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
CONTAINER_MAX: Final = 256


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL. Raises ValueError for a port that is none."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)


@dataclass(frozen=True, slots=True)
class Access:
    """The way into one account. `headers` are what v1 is shown, `body` what Keystone is; the other one is empty."""

    authority: str
    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    link_key: str | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("the access to a target cannot be pickled")

    @classmethod
    def of(cls, binding: Binding, settings: Settings) -> Access:
        """Read the access of a binding. Raises ConfigError for what could only fail later, and less clearly."""
        return Checking(binding, settings).access()


@dataclass(frozen=True, slots=True)
class Checking:
    """A binding whose access is being read."""

    binding: Binding
    settings: Settings

    def access(self) -> Access:
        """Return the access."""
        binding, settings = self.binding, self.settings
        try:
            import_module("httpx")
        except ModuleNotFoundError as error:
            raise ConfigError(MISSING) from error
        if settings.ca_bundle is not None:
            trust(settings.ca_bundle, target=binding.target)
        name = binding.container
        if not name or "/" in name or len(name.encode()) > CONTAINER_MAX or name in {".", ".."}:
            raise self.wrong(f"`{name}` is no name of a container: 1 to {CONTAINER_MAX} bytes without a slash")
        if not binding.hosts:
            raise self.wrong("a Swift target needs the hosts that it may talk to")
        endpoint = self._url("endpoint", binding.endpoint or "")
        if endpoint.path.strip("/") or endpoint.query:
            raise self.wrong("the endpoint is the root of the storage; the account's path comes with the token")
        self._url("authority", settings.authority)
        given = binding.credentials
        access = Access(
            settings.authority, f"{endpoint.scheme}://{endpoint.netloc}", link_key=given.get("temp_url_key")
        )
        if settings.auth == "v1":
            return self._with(access, headers=self._password_of_v1())
        return self._with(access, body={"auth": question(given, target=binding.target)})

    def _with(
        self, access: Access, *, headers: Mapping[str, str] | None = None, body: Mapping[str, object] | None = None
    ) -> Access:
        return Access(access.authority, access.endpoint, headers or {}, body or {}, access.link_key)

    def _password_of_v1(self) -> Mapping[str, str]:
        user, password = self._need("username"), self._need("password")
        if not SENDABLE.fullmatch(user) or not SENDABLE.fullmatch(password):
            raise self.wrong("`username` and `password` of v1 travel in headers, which take printable ASCII alone")
        return {"X-Auth-User": user, "X-Auth-Key": password}

    def _need(self, name: str) -> str:
        value = self.binding.credentials.get(name)
        if value is None:
            raise self.wrong("no credentials: give `username` and `password`, or those of an application")
        return value

    def _url(self, what: str, url: str) -> SplitResult:
        parts = urlsplit(url)
        try:
            scheme, host, port = origin(url)
        except ValueError:
            scheme, host, port = "", "", 0
        if scheme not in PORTS or not host or not port:
            raise self.wrong(f"the {what} `{url}` is no URL that begins with https:// or http://")
        if parts.username is not None or parts.fragment:
            raise self.wrong(f"the {what} is a plain URL; credentials are given beside it")
        if scheme == "http" and not (self.settings.cleartext or own_machine(host)):
            message = f"over http:// everybody on the way to the {what} reads the secrets; use https://, or set "
            raise self.wrong(message + "`cleartext: true`")
        return parts

    def wrong(self, why: str) -> ConfigError:
        """Return the error of this binding."""
        return ConfigError(f"{self.binding.target}: {why}")
