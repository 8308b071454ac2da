"""The connection to the API: signed calls, and errors."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from sovbroker.errors import InvalidArgument, SovbrokerError
from sovbroker.ports import Binding
from sovbroker_adapters.answers import broken, entries, entry
from sovbroker_adapters.calls import Answer
from sovbroker_adapters.clevercloud.signing import signed
from sovbroker_adapters.rest import Call, Rest, by_status, endpoint_of
from sovbroker_adapters.settings import Reading

__all__ = ["Connection"]

NAMES: Final = ("consumer_key", "consumer_secret", "token", "token_secret")
DONE: Final = (200, 201, 202)
WRONG: Final = frozenset({400, 409, 422})
SHOWN: Final = 300


class Connection:
    """The API for one organisation. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding) -> None:
        reading = Reading(binding)
        self.target = binding.target
        self.owner = binding.container
        self.zone = binding.region or ""
        self.repository = reading.url("repository") or ""
        self.branch = reading.text("branch") or "master"
        self._secrets = {name: binding.credentials.get(name) or "" for name in NAMES}
        self._root = endpoint_of(binding)
        self._rest = Rest(binding, self._refused)

    def __repr__(self) -> str:
        """Name the organisation, and no secret."""
        return f"Connection(target={self.target!r}, owner={self.owner!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    def listed(self, path: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a list. Raises Unavailable for an answer that is none."""
        return entries(self._ask("GET", path).told, target=self.target)

    def told(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        """Make a call whose answer is an object. Raises Unavailable for any other."""
        return entry(self._ask(method, path, body).told, target=self.target)

    def act(self, method: str, path: str) -> None:
        """Make a call that is answered by a message. Raises Unavailable for one that does not say that it is done."""
        said = self.told(method, path)
        if said.get("type") != "success":
            raise broken(f"that it has not done it: {str(said.get('message') or '')[:SHOWN]}", target=self.target)

    def close(self) -> None:
        """Close the connections of this process."""
        self._rest.close()

    def _ask(self, method: str, path: str, body: object = None) -> Answer:
        url = f"{self._root}{path}"

        def sign() -> Mapping[str, str]:
            stamp, nonce = int(time.time()), secrets.token_hex(16)
            return {"Authorization": signed(method, url, self._secrets, stamp=stamp, nonce=nonce)}

        reads = method == "GET"
        call = Call(method, url, body, signed=sign, expected=(200,) if reads else DONE, again=reads)
        return self._rest.ask(call)

    def _refused(self, answer: Answer) -> SovbrokerError:
        """Return the error of an answer; never that something is missing, which only a list shows."""
        known = isinstance(answer.told, dict)
        said = str(entry(answer.told, target=self.target).get("message") or "")[:SHOWN] if known else ""
        message = f"the provider answered {answer.status}{f': {said}' if said else ''}"
        if answer.status in WRONG and said:
            return InvalidArgument(f"{self.target}: {message}")
        return by_status(answer.status)(message, target=self.target)
