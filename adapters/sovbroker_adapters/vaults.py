"""A connection to OpenBao or Vault, by hvac: logged in as its credentials say, and nothing looked up elsewhere.

Credentials are `token`, or `username` and `password` for the `userpass` method, or `role_id` and `secret_id` for
`approle`. Settings: `namespace`, `timeout` in seconds, `ca-bundle`, `cleartext` to allow http:// to another machine.
The environment is not looked at: no VAULT_ADDR, no proxy. A token that has run out is fetched anew once, where it came
from a log-in.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, KeyUnavailable, PermissionDenied, SealError, Tampered
from sovbroker.ports import Binding
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.peers import own_machine, watch_session
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.settings import Reading

__all__ = ["SETTINGS", "Vault", "connected"]

MISSING: Final = "hvac is not installed; run `pip install 'sovbroker[vault]'`"
SETTINGS: Final = ("namespace", "timeout", "ca-bundle", "cleartext")
WAYS: Final = (("token",), ("username", "password"), ("role_id", "secret_id"))
TIMEOUT: Final = 10
REFUSED: Final = {400: "it refuses the request", 403: "it refuses these credentials", 404: "there is no such key"}


def connected(reading: Reading, *, where: str) -> Vault:
    """Return the connection of a binding. Raises ConfigError when it cannot work; makes no request.

    `where` is who errors name: `the key … of …`.
    """
    try:
        import_module("hvac")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    binding = reading.binding
    if not any(all(binding.credentials.get(name) for name in way) for way in WAYS):
        ways = "; or ".join(" and ".join(f"`{name}`" for name in way) for way in WAYS)
        raise ConfigError(f"{binding.target}: no credentials: give {ways}")
    parts = urlsplit(binding.endpoint or "")
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ConfigError(f"{binding.target}: the endpoint `{binding.endpoint}` is no URL that begins with https://")
    if parts.scheme == "http" and not (reading.switch("cleartext") or own_machine(parts.hostname)):
        raise ConfigError(f"{binding.target}: over http:// everybody on the way reads the token; use https://")
    return Vault(binding, reading, where)


class Vault:
    """A connection, made when it is first needed. Safe for threads and after a fork."""

    def __init__(self, binding: Binding, reading: Reading, where: str) -> None:
        self._binding = binding
        self._where = where
        self._namespace = reading.text("namespace")
        self._timeout = reading.number("timeout", TIMEOUT)
        self._bundle = reading.path("ca-bundle")
        self._clients = PerProcess(self._client)

    def close(self) -> None:
        """Give the connection back. May be called twice."""
        client = self._clients.take()
        if client is not None:
            client.session.close()

    def ask(self, call: Callable[[Any], Any], *, opening: bool = False) -> Any:  # noqa: ANN401 - the SDK's own types
        """Make a call, with a fresh token once where the old one has run out. Whatever fails is an error of ours."""
        client = self._logged_in()
        try:
            return call(client)
        except Exception as error:
            found = self._failure(error, opening=opening)
            if not (getattr(error, "errors", None) is not None and _status(error) == 403 and self._logs_in):  # noqa: PLR2004 - HTTP's own
                raise found from error
        client.token = None
        try:
            return call(self._logged_in())
        except Exception as error:
            raise self._failure(error, opening=opening) from error

    @property
    def _logs_in(self) -> bool:
        return self._binding.credentials.get("token") is None

    def _logged_in(self) -> Any:  # noqa: ANN401 - the SDK's own type
        client = self._clients.get()
        if client.token:
            return client
        secrets = self._binding.credentials
        try:
            if secrets.get("role_id") is not None:
                client.auth.approle.login(secrets.get("role_id"), secrets.get("secret_id"))
            else:
                client.auth.userpass.login(secrets.get("username"), secrets.get("password"))
        except Exception as error:
            raise self._failure(error, opening=False) from error
        return client

    def _client(self) -> Any:  # noqa: ANN401 - the SDK's own type
        hvac, requests = import_module("hvac"), import_module("requests")
        binding = self._binding
        session = requests.Session()
        session.trust_env = False
        watch_session(session, target=binding.target)
        send = session.send

        def checked(request: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
            check_host(request.url, hosts=binding.hosts, target=binding.target)
            return send(request, **{**options, "allow_redirects": False})

        session.send = checked
        # An empty token keeps hvac from looking for one in the environment and the user's home.
        return hvac.Client(
            url=binding.endpoint,
            token=binding.credentials.get("token") or "",
            verify=True if self._bundle is None else str(self._bundle),
            timeout=self._timeout,
            allow_redirects=False,
            session=session,
            namespace=self._namespace,
            proxies={},
        )

    def _failure(self, error: Exception, *, opening: bool) -> SealError:
        """Return our error for what went wrong."""
        if isinstance(error, SealError):
            return error
        if isinstance(error, PermissionDenied):
            # Of the checks here, before anything was sent: the server's own no is an error of hvac.
            return KeyUnavailable(f"{self._where} is out of reach: {error}")
        status, told = _status(error), " ".join(str(each) for each in getattr(error, "errors", None) or ())
        if opening and status == 400 and _is_damage(told):  # noqa: PLR2004 - HTTP's own
            return Tampered()
        why = REFUSED.get(status, "it does not answer as it should")
        if status == 0:
            why = "it is out of reach"
        return KeyUnavailable(f"{self._where}: {why}{f' ({told[:200]})' if told else ''}")


def _is_damage(told: str) -> bool:
    """Whether the server says of a ciphertext that it is none of this key and context."""
    words = (
        "authentication failed",
        "invalid ciphertext",
        "unable to decrypt",
        "could not decode",
        "decode ciphertext",
    )
    return any(word in told.lower() for word in words)


def _status(error: Exception) -> int:
    """Return the HTTP status that an error of hvac stands for; 0 where there was no answer."""
    if getattr(error, "errors", None) is None and not hasattr(error, "method"):
        return 0
    names = {"InvalidRequest": 400, "Unauthorized": 403, "Forbidden": 403, "InvalidPath": 404}
    return names.get(type(error).__name__, 500)
