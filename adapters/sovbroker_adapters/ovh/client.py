"""The connection to the API: the SDK's client, its session, errors."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import requests

from sovbroker.errors import ConfigError, NotFound, PermissionDenied, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Binding, patience
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.peers import watch_session
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.settings import Reading

__all__ = ["Connection"]

_sdk: Final[Any] = import_module("ovh.exceptions")

SECRETS: Final = ("application_key", "application_secret", "consumer_key")
NUMBERS: Final = {"connect-timeout": 10, "read-timeout": 60, "user-within": 120, "within": 120}
VOLUMES: Final = "volume-type"
REDIRECTS: Final = range(300, 400)
LATER: Final = frozenset({408, 425, 429})
SHOWN: Final = 200
NO_QUERY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Made:
    """The SDK's client, and the session that it sends by."""

    client: Any
    session: _Session


class Connection:
    """The API for one project. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding) -> None:
        reader = Reading(binding)
        reader.check_names((*NUMBERS, VOLUMES))
        numbers = {name: reader.number(name, default) for name, default in NUMBERS.items()}
        self.target = binding.target
        self.project = binding.container
        self.region = binding.region or ""
        self.volumes = reader.text(VOLUMES) or "classic"
        self.within = numbers["within"]
        self.user_within = numbers["user-within"]
        self._timeout = (numbers["connect-timeout"], numbers["read-timeout"])
        self._binding = binding
        if not binding.container:
            raise ConfigError(f"{binding.target}: name the project")
        if binding.endpoint is None:
            raise ConfigError(f"{binding.target}: the account plane needs its endpoint")
        self._url = binding.endpoint.rstrip("/")
        check_host(self._url, hosts=binding.hosts, target=binding.target)
        for name in SECRETS:
            if not binding.credentials.get(name):
                raise ConfigError(f"{binding.target}: the account plane needs `{name}`")
        # The SDK's client is not made for several threads: its clock is set at first use.
        self._lock = threading.Lock()
        self._clients = PerProcess(self._make)

    def __repr__(self) -> str:
        """Name the project, and no secret."""
        return f"Connection(target={self.target!r}, project={self.project!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def ask(self, method: str, *path: str, query: Mapping[str, str] = NO_QUERY, body: object = None) -> Any:  # noqa: ANN401 - what JSON holds
        """Call the API below the project. Whatever fails is an error of ours."""
        url = "/".join(["/cloud/project", *(quote(part, safe="") for part in (self.project, *path))])
        url += f"?{urlencode(query)}" if query else ""
        try:
            with self._lock:
                return self._clients.get().client.call(method, url, body)
        except SovbrokerError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def broken(self, why: str) -> Unavailable:
        """Return the error of an answer that is not what it should be."""
        return Unavailable(f"the account plane answered {why}", target=self.target)

    def close(self) -> None:
        """Close the connections of this process."""
        made = self._clients.take()
        if made is not None:
            made.session.close()

    def _make(self) -> _Made:
        given = {name: self._binding.credentials.get(name) or "" for name in SECRETS}
        session = _Session(self._binding, self._timeout)
        return _Made(_client(self._url, given, session, self._timeout), session)

    def _failure(self, error: Exception) -> StoreError:
        answer = getattr(error, "response", None)
        status = int(getattr(answer, "status_code", 0) or 0)
        said = f"the account plane answered {status}: {_short(error)}"
        match error:
            case _ if isinstance(error, _sdk.ResourceNotFoundError):
                return NotFound(said, target=self.target)
            case _ if status in {401, 403}:
                return PermissionDenied(said, target=self.target)
            case _ if isinstance(error, (_sdk.HTTPError, _sdk.NetworkError, requests.RequestException, OSError)):
                return Unavailable(f"no answer of the account plane: {_short(error)}", target=self.target)
            case _ if 400 <= status < 500 and status not in LATER:  # noqa: PLR2004 - the client's errors
                return StoreError(said, target=self.target)
            case _:
                return self.broken(f"{status or 'nonsense'}: {_short(error)}")


def _client(url: str, secrets: dict[str, str], session: _Session, timeout: tuple[int, int]) -> Any:  # noqa: ANN401 - untyped
    """Return the SDK's client, made without its constructor: that reads the environment and three files."""
    maker = import_module("ovh").Client
    made = maker.__new__(maker)
    own: dict[str, Any] = {f"_{name}": value for name, value in secrets.items()}
    own |= {"_endpoint": url, "_client_id": None, "_client_secret": None, "_oauth2": None, "_time_delta": None}
    own |= {"_session": session, "_timeout": timeout}
    for name, value in own.items():
        setattr(made, name, value)
    return made


class _Session(requests.Session):
    """A session that talks to the binding's hosts and follows nothing."""

    def __init__(self, binding: Binding, timeout: tuple[int, int]) -> None:
        super().__init__()
        self.trust_env = False
        self._binding = binding
        self._timeout = timeout
        watch_session(self, target=binding.target)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # noqa: ANN401 - the SDK's
        """Send a request whose host is allowed. Raises PermissionDenied, and StoreError for a redirect."""
        target = self._binding.target
        check_host(request.url or "", hosts=self._binding.hosts, target=target)
        caller = patience()
        limits = tuple(caller.left(most) for most in self._timeout)
        answer = super().send(request, **{**options, "allow_redirects": False, "timeout": limits})
        if answer.status_code in REDIRECTS:
            answer.close()
            where = urlsplit(answer.headers.get("Location", "")).hostname or "nowhere"
            raise StoreError(f"the account plane sends to `{where}`; redirects are not followed", target=target)
        return answer


def _short(error: Exception) -> str:
    return str(error).replace("\n", " ")[:SHOWN]
