"""The connection to the API: tokens, calls, activities, and errors."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast

from sovbroker.errors import InvalidArgument, PermissionDenied, SovbrokerError, StoreError
from sovbroker.ports import Binding
from sovbroker_adapters.answers import broken, entries, entry, text
from sovbroker_adapters.calls import Answer
from sovbroker_adapters.rest import Call, Rest, by_status, endpoint_of
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.settling import settled

__all__ = ["Connection"]

TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
ACTIVITY: Final = re.compile(r"(?:/api)?(?:/activity/v1/activities/)?([A-Za-z0-9-]{1,64})")
MARGIN: Final = 300.0
UNAUTHORIZED: Final = 401
DONE: Final = (200, 201)
WRONG: Final = frozenset({400, 409, 422})
SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Login:
    """A token with its tenant; it is not used after `until`, of the wall's clock."""

    token: str = field(repr=False)
    tenant: str
    until: float


class Connection:
    """The API for one tenant. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, *, sleep: Callable[[float], None] = time.sleep) -> None:
        reading = Reading(binding)
        self.target = binding.target
        self.zone = reading.text("zone")
        self.policy = reading.text("backup-policy") or ""
        self.network = reading.text("network")
        self._within = reading.number("within", 300)
        self._binding = binding
        self._root = endpoint_of(binding)
        self._rest = Rest(binding, self._refused)
        self._login: Login | None = None
        self._sleep = sleep

    def __repr__(self) -> str:
        """Name the target, and no secret."""
        return f"Connection(target={self.target!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    def listed(self, path: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a list. Raises Unavailable for an answer that is none."""
        return entries(self._ask(f"GET {path}", again=True).told, target=self.target)

    def tell(self, call: str, body: object) -> None:
        """Make a call that is done when it is answered."""
        self._ask(call, body=body, expected=DONE)

    def act(self, call: str, body: object = None, *, what: str) -> str:
        """Make a call that begins an activity, and wait until it is done; return its result, "" where it has none.

        Raises StoreError for one that failed, Unavailable for one that takes longer than it may.
        """
        answer = self._ask(call, body=body, expected=(*DONE, 202))
        found = ACTIVITY.fullmatch(answer.headers.get("location", ""))
        if found is None:
            raise broken(f"to {what} without the activity that does it", target=self.target)
        name, state = self.settle(lambda: self._activity(found[1]), lambda one: one[0] in {"completed", "failed"}, what)
        if name == "failed":
            raise StoreError(f"{what} failed: {str(state.get('reason') or '')[:SHOWN]}", target=self.target)
        return str(state.get("result") or "")

    def settle(self, look: Callable[[], Any], done: Callable[[Any], bool], what: str) -> Any:  # noqa: ANN401 - as `look`'s
        """Return what `look` finds once it is `done`. Raises Unavailable where that takes too long."""
        return settled(look, done, within=self._within, what=what, target=self.target, sleep=self._sleep)

    def close(self) -> None:
        """Close the connections of this process."""
        self._rest.close()

    def _activity(self, name: str) -> tuple[str, Mapping[str, Any]]:
        """Return the state that an activity is in, by its name, and what is told of it."""
        answer = self._ask(f"GET /activity/v1/activities/{name}", again=True)
        states = entry(entry(answer.told, target=self.target).get("state"), target=self.target)
        if len(states) != 1:
            raise broken(f"that an activity is in {len(states)} states", target=self.target)
        state = next(iter(states))
        return state, entry(states[state], target=self.target)

    def _ask(
        self, call: str, *, body: object = None, expected: Collection[int] = (200,), again: bool = False
    ) -> Answer:
        """Make a call. A token that is not taken is replaced once: it has done nothing."""
        method, _, path = call.partition(" ")
        known = self._login
        for login in (self._now(), None):
            used = login or self._renewed()
            old = used is known
            headers = {"Authorization": f"Bearer {used.token}"}
            allowed = {*expected, UNAUTHORIZED} if old else expected
            answer = self._rest.ask(Call(method, f"{self._root}{path}", body, headers, expected=allowed, again=again))
            if answer.status != UNAUTHORIZED or not old:
                return answer
        raise AssertionError  # the second token is never an old one

    def _now(self) -> Login:
        login = self._login
        return login if login is not None and time.time() < login.until else self._renewed()

    def _renewed(self) -> Login:
        given = self._binding.credentials
        asked = {"id": given.get("client_id"), "secret": given.get("secret_id")}
        url = f"{self._root}/iam/v2/auth/personal_access_token"
        body = self._rest.ask(Call("POST", url, asked, expected=DONE, again=True)).body.strip().strip(b'"')
        found = TOKEN.fullmatch(body)
        if found is None:
            raise broken("the question for a token with none", target=self.target)
        try:
            told = cast("dict[str, Any]", json.loads(base64.urlsafe_b64decode(found[1] + b"==")))
            tenant, until = text(told["scope"], "id"), float(told["exp"]) - MARGIN
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise broken("with a token that tells no tenant or no end", target=self.target) from error
        if self._binding.container not in {"", tenant}:
            message = f"the token is of the tenant `{tenant}`, and not of `{self._binding.container}`"
            raise PermissionDenied(message, target=self.target)
        self._login = Login(body.decode(), tenant, until)
        return self._login

    def _refused(self, answer: Answer) -> SovbrokerError:
        """Return the error of an answer; never that something is missing, which only a list shows."""
        said = answer.body.decode(errors="replace") if isinstance(answer.told, dict) else ""
        message = f"the provider answered {answer.status}{f': {said[:SHOWN]}' if said else ''}"
        if answer.status in WRONG and said:
            return InvalidArgument(f"{self.target}: {message}")
        return by_status(answer.status)(message, target=self.target)
