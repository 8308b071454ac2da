"""Regions, containers, users and keys, as the API tells of them and as we do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from sovbroker.errors import NotFound, StoreError, Unavailable
from sovbroker.ports import AccessKey, Container, User
from sovbroker_adapters.ovh.client import Connection

__all__ = ["OvhAccounts"]

ROLE: Final = "objectstore_operator"
STORAGE: Final = "storage-s3-"
"""How the services of a region begin that S3 containers are in."""

READY: Final = "ok"
MAKING: Final = "creating"
PAUSE: Final = 1.0


class OvhAccounts:
    """The `Accounts` of one project. `sleep` waits for a user to be ready."""

    def __init__(self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection = connection
        self._sleep = sleep

    def regions(self) -> Sequence[str]:
        """See `Accounts.regions`."""
        return [self._text(name) for name in self._list("region")]

    def containers(self) -> Sequence[Container]:
        """See `Accounts.containers`. Containers of the older Swift storage are not among them."""
        found: list[Container] = []
        for region in self.regions():
            services = self._entry(self._connection.ask("GET", "region", region)).get("services")
            names = [self._entry(service).get("name", "") for service in self._checked(services)]
            if any(str(name).startswith(STORAGE) for name in names):
                held = self._list("region", region, "storage")
                found += [Container(self._text(self._entry(one).get("name")), region) for one in held]
        return found

    def users(self) -> Sequence[User]:
        """See `Accounts.users`."""
        return [self._user(one) for one in self._list("user")]

    def create_user(self, description: str) -> User:
        """See `Accounts.create_user`. The user may do everything with the objects of the project, and nothing else."""
        user = self._user(self._connection.ask("POST", "user", body={"description": description, "roles": [ROLE]}))
        deadline = time.monotonic() + self._connection.user_within
        while user.status != READY:
            if user.status != MAKING:
                raise StoreError(f"the user {user.id} is `{user.status}`", target=self._connection.target)
            if time.monotonic() > deadline:
                within = self._connection.user_within
                message = f"the user {user.id} was made, and is not ready after {within} s"
                raise Unavailable(message, target=self._connection.target)
            self._sleep(PAUSE)
            user = self._user(self._connection.ask("GET", "user", user.id))
        return user

    def keys(self, user: str) -> Sequence[str]:
        """See `Accounts.keys`."""
        return [self._text(self._entry(one).get("access")) for one in self._list("user", user, "s3Credentials")]

    def create_key(self, user: str) -> AccessKey:
        """See `Accounts.create_key`."""
        made = self._entry(self._connection.ask("POST", "user", user, "s3Credentials"))
        return AccessKey(self._text(made.get("access")), self._text(made.get("secret")))

    def delete_key(self, user: str, access_key: str) -> None:
        """See `Accounts.delete_key`. What the API confirms is looked up."""
        # The user may be missing, or the key.
        with suppress(NotFound):
            self._connection.ask("DELETE", "user", user, "s3Credentials", access_key)
        if access_key in self.keys(user):
            raise self._connection.broken(f"that `{access_key}` is removed, and lists it")

    def close(self) -> None:
        """See `Accounts.close`."""
        self._connection.close()

    def _list(self, *path: str) -> Sequence[Any]:
        return self._checked(self._connection.ask("GET", *path))

    def _checked(self, answer: object) -> Sequence[Any]:
        if not isinstance(answer, list):
            raise self._connection.broken("something that is no list")
        return cast("Sequence[Any]", answer)

    def _entry(self, answer: object) -> Mapping[str, Any]:
        if not isinstance(answer, dict):
            raise self._connection.broken("something that is no object")
        return cast("dict[str, Any]", answer)

    def _text(self, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise self._connection.broken("without a name that was asked for")
        return value

    def _user(self, answer: object) -> User:
        found = self._entry(answer)
        number = found.get("id")
        if isinstance(number, bool) or not isinstance(number, int):
            raise self._connection.broken("a user without an id")
        named = {name: str(found.get(name) or "") for name in ("username", "description", "status")}
        return User(str(number), named["username"], named["description"], named["status"])
