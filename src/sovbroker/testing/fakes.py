"""An application's tests with its real configuration, and every cloud of it faked: in process, without a network.

::

    with fake_clouds("sovbroker.yaml") as clouds:
        application = Application(sovbroker.open("sovbroker.yaml"))      # or clouds.open()
        application.save_letter("42", "Dear Camille Moreau, …")
        clouds.assert_never_saw("Camille Moreau", "aws")
        clouds.assert_only_in("EEA", "patients/**")

The policy, the catalogue's facts, the sealing and the placements are the real ones. The keys are made for the test and
thrown away, the state is in a temporary folder, and no secret of the configuration is looked at. Each target behaves as
its provider's settings say, and keeps everything that the provider saw.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.broker import Broker
from sovbroker.catalogue.countries import expand
from sovbroker.config import Config, load_config
from sovbroker.errors import InvalidArgument, Unavailable
from sovbroker.keyrings import Keyrings
from sovbroker.keys import EscrowService, Keyring, new_escrow
from sovbroker.opening import assemble
from sovbroker.policy.zones import Axis, Subject, Within
from sovbroker.ports import Store
from sovbroker.recipients import ESCROW, KeyConfig, RecipientConfig
from sovbroker.router import Place, Stores
from sovbroker.secrets import CredentialSource, SecretSource
from sovbroker.testing.faking.clock import FakeClock
from sovbroker.testing.faking.cloud import Failure, FakeCloud
from sovbroker.testing.faking.evidence import Held, held_by, matching
from sovbroker.testing.faking.seen import OPERATIONS, Seen, find
from sovbroker.testing.faking.switch import switched

__all__ = ["OPERATIONS", "Failure", "FakeClock", "FakeCloud", "FakeClouds", "Held", "Seen", "fake_clouds"]

SHOWN: Final = 60


@contextmanager
def fake_clouds(path: str | os.PathLike[str] | None = None) -> Generator[FakeClouds]:
    """Fake every target of a configuration, the one that `sovbroker.open(path)` would use, while the block runs.

    In the block, `sovbroker.open` of this configuration gives a broker over the faked clouds, as `FakeClouds.open`
    does; a store of any other configuration that could reach a network is refused with ConfigError. At its end the
    brokers are closed, and keys and state are gone. Raises ConfigError and PolicyError as `sovbroker.open` does.
    """
    config = load_config(None if path is None else Path(path))
    with tempfile.TemporaryDirectory(prefix="sovbroker-fakes-") as folder:
        clouds = FakeClouds(config, Path(folder))
        try:
            with switched(config, clouds.open):
                yield clouds
        finally:
            clouds.close()


class FakeStores(Stores):
    """Stores that are faked for as long as they live, guarded as the real ones are."""

    def __init__(self, places: Mapping[str, Place], clouds: Mapping[str, FakeCloud]) -> None:
        super().__init__(places)
        self._clouds = clouds

    def _store(self, target: str) -> Store:
        found = self._clouds.get(target)
        # What is not configured has the real error.
        return super()._store(target) if found is None else found


class FakeClouds:
    """Every target of a configuration, faked. Use `fake_clouds`, or the fixture `sov_clouds`, to get one.

    `where` is always the id of a target (`aws/eu-west-3`), a provider (`aws`: all of its targets), or None for all;
    one that the configuration does not name raises InvalidArgument, so that a misspelt name proves nothing.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.clock = FakeClock()
        """The clock of every broker over these clouds."""
        self._config = replace(
            config,
            state=folder / "state.db",
            targets=tuple(replace(target, credentials=CredentialSource()) for target in config.targets),
            keys=tuple(_throw_away(key, folder) for key in config.keys),
        )
        self._brokers: list[Broker] = []
        with closing(assemble(self._config, clock=self.clock)) as broker:
            self._services = broker.keys.services
            clouds = {
                name: FakeCloud(place.target, adapter=place.adapter, settings=place.binding.settings)
                for name, place in broker.places.items()
            }
        self.targets: Mapping[str, FakeCloud] = MappingProxyType(clouds)
        """The faked targets, by id."""

    def open(self, clock: Callable[[], datetime] | None = None) -> Broker:
        """Open a broker over the faked clouds; all of them share state and keys, as real ones of one configuration."""
        broker = assemble(self._config, clock=clock or self.clock)
        self._brokers.append(broker)
        broker._flow.stores = FakeStores(broker.places, self.targets)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # nothing else is changed of a real broker
        return broker

    def close(self) -> None:
        """Close every broker that was opened. What the clouds saw stays. May be called twice."""
        for broker in self._brokers:
            broker.close()

    def __getitem__(self, target: str) -> FakeCloud:
        """Return one faked target by its id."""
        return self._named(target)[0]

    # --- time and failures

    def set_time(self, moment: datetime) -> None:
        """Make it `moment` now, for the policy, the facts and the rows. It runs on from there."""
        self.clock.set(moment)

    def advance(self, span: timedelta) -> None:
        """Let time pass."""
        self.clock.advance(span)

    def fail(
        self,
        where: str | None,
        operation: str = "put",
        *,
        error: Failure = Unavailable,
        times: int | None = 1,
    ) -> None:
        """Let the next `times` requests of an operation fail, at each target of `where`; None: until `mend`.

        `error` is a StoreError, or a kind of it. The broker tries again after Unavailable, up to five times in all, so
        one failure of that kind is mended by the retry. `operation` is one of `OPERATIONS`, or `any`; what is longer
        than 16 MiB is written by `multipart`, `part` and `commit`. The provider sees the request that fails.
        """
        for cloud in self._named(where):
            cloud.fail(operation, error=error, times=times)

    def mend(self, where: str | None = None) -> None:
        """Let nothing fail any more."""
        for cloud in self._named(where):
            cloud.mend()

    # --- what they saw and hold

    def saw(self, where: str | None = None) -> list[Seen]:
        """Return every request that was made, in order for each target."""
        return [request for cloud in self._named(where) for request in cloud.saw]

    def forget(self) -> None:
        """Forget what was seen, before the part of a test that matters. What is stored stays."""
        for cloud in self.targets.values():
            cloud.saw.clear()

    def held(self, where: str | None = None) -> list[Held]:
        """Return everything that lies there now: old versions, leftovers and unfinished uploads too."""
        with closing(Keyrings(self._services)) as keyrings:
            return [held for cloud in self._named(where) for held in held_by(cloud, keyrings)]

    def assert_never_saw(self, plaintext: bytes | str, provider: str | None = None) -> None:
        """Assert that no request to a provider or target (None: to any at all) held a text.

        Looked for in keys, metadata and bodies: as it is, in hexadecimal, in base64 at any alignment, URL-encoded, and
        within gzip and zlib; a `str` in UTF-8, UTF-16 and JSON's escapes. Look for what tells, such as a name: of a
        whole document a part may have been seen. Raises InvalidArgument for fewer than four bytes.
        """
        __tracebackhide__ = True
        lines = find(plaintext, self.saw(provider))
        if lines:
            shown = repr(plaintext[:SHOWN]) + ("…" if len(plaintext) > SHOWN else "")
            raise AssertionError(_told(f"{provider or 'a provider'} saw {shown}, and must not:", lines))

    def assert_only_in(self, region: str | Iterable[str], pattern: str = "**") -> None:
        """Assert that everything under keys that match lies at targets whose facts say that they are within a region.

        `region` is a country (`FR`), a group (`EEA`), or several of them. Everything is every copy, old versions,
        leftovers and unfinished uploads too. A fact counts as in a policy: it must be verified and live at the time of
        the clock. Fails also where no object matches: then nothing would have been proved.
        """
        __tracebackhide__ = True
        names = (region,) if isinstance(region, str) else tuple(region)
        within = Within(Axis.LOCATED, names, expand(names))
        day = self.clock().date()
        why = {name: within.unmet(Subject.of(cloud.where), day) for name, cloud in self.targets.items()}
        found = matching(self.held(), pattern)
        lines = [f"{held}: {why[held.target]}" for held in found if why[held.target]]
        if lines:
            raise AssertionError(_told(f"what matches `{pattern}` must lie in {', '.join(names)} only:", lines))

    def assert_sealed(self, pattern: str = "**") -> None:
        """Assert that everything that lies anywhere, under keys that match, is sealed. The stored bytes are looked at.

        Fails also where no object matches: then nothing would have been proved.
        """
        __tracebackhide__ = True
        lines = [str(held) for held in matching(self.held(), pattern) if held.clear]
        if lines:
            raise AssertionError(_told(f"what matches `{pattern}` must be sealed wherever it lies:", lines))

    def __str__(self) -> str:
        """Tell what each provider saw, for the report of a failed test."""
        return "\n".join(map(str, self.saw())) or "no provider saw anything"

    def _named(self, where: str | None) -> Sequence[FakeCloud]:
        """Return the targets that are meant; at least one. Raises InvalidArgument."""
        clouds = self.targets.values()
        found = [cloud for cloud in clouds if where in {None, cloud.target, cloud.where.provider}]
        if not found:
            known = sorted({*self.targets, *(cloud.where.provider for cloud in clouds)})
            close = difflib.get_close_matches(where or "", known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(known)}"
            raise InvalidArgument(f"the configuration names no target or provider `{where}`; {hint}")
        return found


def _throw_away(key: KeyConfig, folder: Path) -> KeyConfig:
    """Return a keyring of the same name, recipients and facts, whose file is made here and now, and all keys of it."""
    path = folder / f"{key.name}.keyring.json"
    pairs = {one.name: new_escrow()[0] for one in key.recipients}
    services = [EscrowService(name, private) for name, private in pairs.items()]
    keyring, _ = Keyring.create(path, services, recovery=False, quorum=key.quorum)
    keyring.close()
    recipients = tuple(
        RecipientConfig(
            name=one.name,
            service=ESCROW,
            private=SecretSource(literal=pairs[one.name]),
            located=one.located,
            controlled=one.controlled,
        )
        for one in key.recipients
    )
    return replace(key, path=path, recipients=recipients)


def _told(what: str, lines: Iterable[str]) -> str:
    return "\n".join([what, *(f"  {line}" for line in dict.fromkeys(lines))])
