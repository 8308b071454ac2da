"""Who holds the keys of a keyring, as the configuration says: how each one is reached, and what is known of it.

A keyring has one recipient or several. Each opens it alone, or, with a quorum, that many do together. What the policy
is told of a keyring follows from that: it is in a zone when those outside of the zone are fewer than could open it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    Status,
    trimmed,
)
from sovbroker.errors import ConfigError
from sovbroker.keyrings import Service
from sovbroker.keys import EscrowService, Keyring, KeyringStatus, PassphraseService, RecoveryService, public_key
from sovbroker.plugins import entry_of
from sovbroker.ports import Credentials, KeyBinding, KeyService
from sovbroker.secrets import SecretSource

__all__ = [
    "ESCROW",
    "FILE",
    "STATED",
    "KeyConfig",
    "RecipientConfig",
    "alone",
    "apply_recipients",
    "attested",
    "create_keyring",
    "find_key_service",
    "holders_of",
    "open_keyring",
    "open_recipient",
    "passphrase_of",
    "recipients_at_hand",
    "service_of",
]

KEY_SERVICES: Final = "sovbroker.key_services"
"""The entry-point group in which key services are found, each by the name that a configuration has for it."""

FILE: Final = "file"
ESCROW: Final = "escrow"
WAYS_MAX: Final = 1000

Setting = str | int | bool


@dataclass(frozen=True, slots=True)
class RecipientConfig:
    """One recipient: a passphrase (`file`), a key pair that lies offline (`escrow`), or a key of a key service.

    `located`, `controlled` and `qualified` are what the operator vouches for; None: unknown. `public` is an escrow's
    public half, which makes it a recipient; `private` the other one, which opens.
    """

    name: str
    service: str
    passphrase: SecretSource | None = None
    key: str = ""
    endpoint: str | None = None
    region: str | None = None
    credentials: Mapping[str, SecretSource] = field(default_factory=dict[str, SecretSource])
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    public: Path | None = None
    private: SecretSource | None = None
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None
    qualified: tuple[Qualification, ...] = ()

    @property
    def offline(self) -> bool:
        """Whether it is not to be asked in daily work."""
        return self.service == ESCROW and self.private is None


@dataclass(frozen=True, slots=True)
class KeyConfig:
    """A configured keyring: its file, its recipients in the order in which they are asked, and how many it takes.

    `recovery`: there is a recovery code, too. Where the recipients are listed, `located` and `controlled` tell of that.
    """

    name: str
    path: Path
    recipients: tuple[RecipientConfig, ...]
    quorum: int = 1
    recovery: bool = True
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None
    listed: bool = False

    @property
    def passphrase(self) -> SecretSource | None:
        """Where the passphrase comes from, if there is one among the recipients."""
        return next((one.passphrase for one in self.recipients if one.passphrase is not None), None)


def passphrase_of(source: SecretSource) -> RecipientConfig:
    """Return the recipient that is a passphrase."""
    return RecipientConfig(PassphraseService.name, FILE, passphrase=source)


STATED: Final = Evidence(Basis.ATTESTED, Confidence.HIGH, note="stated in the configuration")


def attested(
    *,
    located: frozenset[str] | None,
    controlled: frozenset[str] | None,
    unaided: Fact[frozenset[str]] | None = None,
    qualified: tuple[Qualification, ...] = (),
) -> Facts:
    """Return facts that the operator states in the configuration; what is not stated is unknown."""
    return Facts(
        located=Fact(located, STATED),
        controlled=Fact(controlled, STATED),
        technology=Fact(None, STATED),
        qualified=qualified,
        alone=unaided,
    )


def holders_of(key: KeyConfig) -> tuple[KeyHolder, ...]:
    """Return what the policy knows of a keyring: one key holder for each way in which it could be in a zone.

    Each stands for as many recipients as have to be in the zone so that those outside cannot open the keyring without
    them. Of a keyring that any recipient opens, these are all of them. Raises ConfigError for too many ways.
    """
    parts = list(key.recipients)
    if key.listed and key.recovery:
        parts.append(RecipientConfig(RecoveryService.name, FILE, located=key.located, controlled=key.controlled))
    within = len(parts) - key.quorum + 1
    if within < 1:
        # Nobody would have to be in the zone, and of nobody everything is true.
        raise ConfigError(f"`keys: {key.name}`: {len(parts)} recipients cannot be {key.quorum}")
    if comb(len(parts), within) > WAYS_MAX:
        raise ConfigError(f"`keys: {key.name}`: {key.quorum} of {len(parts)} recipients can be in too many ways")
    unaided = Fact(alone([one.controlled for one in parts], key.quorum), STATED)
    ways: dict[Facts, str] = {}
    for chosen in combinations(parts, within):
        facts = attested(
            located=_all_of([one.located for one in chosen]),
            controlled=_all_of([one.controlled for one in chosen]),
            unaided=unaided,
            qualified=_held_by_all([one.qualified for one in chosen]),
        )
        ways.setdefault(facts, ", ".join(one.name for one in chosen))
    return tuple(
        KeyHolder(
            key.name if len(ways) == 1 else f"{key.name} ({names})",
            facts,
            keyring=key.name,
        )
        for facts, names in ways.items()
    )


def _all_of(countries: Sequence[frozenset[str] | None]) -> frozenset[str] | None:
    """Return the countries of several; None where those of one are unknown."""
    known = [one for one in countries if one is not None]
    return frozenset[str]().union(*known) if len(known) == len(countries) else None


def alone(controlled: Sequence[frozenset[str] | None], quorum: int) -> frozenset[str] | None:
    """Return the countries whose law reaches as many recipients as it takes; None where it could be any country.

    A recipient of which nothing is known may be reached by any of them.
    """
    unknown = sum(one is None for one in controlled)
    if unknown >= quorum:
        return None
    reached = Counter(country for one in controlled for country in one or ())
    return frozenset(country for country, times in reached.items() if times + unknown >= quorum)


def _held_by_all(each: Sequence[tuple[Qualification, ...]]) -> tuple[Qualification, ...]:
    """Return the qualifications that all of several have: of the lowest version, to the first end."""
    schemes = [{found.scheme: found for found in one} for one in each]
    return tuple(
        Qualification(
            scheme,
            Status.QUALIFIED,
            replace(
                STATED, expires=min((end for one in schemes if (end := one[scheme].evidence.expires)), default=None)
            ),
            # A version that is not said is lower than any.
            min((one[scheme].version for one in schemes), key=trimmed),
        )
        for scheme in sorted(set(schemes[0]).intersection(*schemes[1:]))
    )


def service_of(key: KeyConfig) -> Service:
    """Return a keyring as the broker uses it. Nothing is opened."""
    return Service(holders_of(key), lambda: open_keyring(key))


def find_key_service(name: str) -> Callable[[KeyBinding], KeyService]:
    """Return what opens the key service of that name. Raises ConfigError with a suggestion."""
    entry = entry_of(KEY_SERVICES, name, lacking=f"there is no key service `{name}`", beside=(FILE, ESCROW))
    opener: Callable[[KeyBinding], KeyService] = entry.load()
    return opener


def open_recipient(recipient: RecipientConfig, *, passphrase: str | None = None) -> KeyService:
    """Return the key service of a recipient; `passphrase` is taken instead of the configured one. Makes no request.

    Raises ConfigError where a secret is missing, an extra is not installed, or a setting is wrong.
    """
    match recipient.service:
        case "file":
            source = recipient.passphrase or SecretSource()
            return PassphraseService(source.resolve() if passphrase is None else passphrase)
        case "escrow":
            if recipient.private is None:
                raise ConfigError(f"the escrow `{recipient.name}` lies offline; say where its `private` half is")
            return EscrowService(recipient.name, recipient.private.resolve())
        case service:
            opener = find_key_service(service)
            binding = KeyBinding(
                name=recipient.name,
                key=recipient.key,
                endpoint=recipient.endpoint,
                region=recipient.region,
                hosts=frozenset({urlsplit(recipient.endpoint).netloc} if recipient.endpoint else ()),
                credentials=Credentials({name: one.resolve() for name, one in recipient.credentials.items()}),
                settings=recipient.settings,
            )
            return opener(binding)


def recipients_at_hand(key: KeyConfig) -> list[KeyService]:
    """Return the key services of a keyring that can be used here, at least as many as its quorum.

    One whose secret is missing is left out where the others suffice. Raises ConfigError with what is missing.
    """
    found: list[KeyService] = []
    missing: list[ConfigError] = []
    for recipient in key.recipients:
        if recipient.offline:
            continue
        try:
            found.append(open_recipient(recipient))
        except ConfigError as error:
            missing.append(ConfigError(f"`keys: {key.name}`, `{recipient.name}`: {error}") if key.listed else error)
    if len(found) >= key.quorum:
        return found
    if len(missing) == 1:
        raise missing[0]
    reasons = "; ".join(str(error) for error in missing) or "the others lie offline"
    raise ConfigError(
        f"`keys: {key.name}` needs {key.quorum} recipients at hand, and there are {len(found)}: {reasons}"
    )


def open_keyring(key: KeyConfig) -> Keyring:
    """Open a keyring with its configured recipients.

    Raises ConfigError where the file is open to others than the configuration says, or takes fewer: the policy judges
    what stands in the configuration.
    """
    services = recipients_at_hand(key)
    with ExitStack() as undo:
        for service in services:
            undo.callback(service.close)
        keyring = undo.enter_context(Keyring.open(key.path, services, closing=[service.close for service in services]))
        _check_custody(key, keyring.status())
        undo.pop_all()
        return keyring


def apply_recipients(key: KeyConfig) -> KeyringStatus:
    """Give a keyring the recipients and the quorum that the configuration says, and return what it then is.

    All of its services have to be at hand. The recovery code stays, where there is one and the configuration wants it.
    """
    with ExitStack() as opened:
        services = _all_of_them(key, opened)
        escrows = {one.name: escrow_of(one) for one in key.recipients if one.offline}
        keyring = opened.enter_context(Keyring.open(key.path, services))
        keyring.entrust(services, escrows=escrows, quorum=key.quorum, recovery=key.recovery)
        return keyring.status()


def _check_custody(key: KeyConfig, found: KeyringStatus) -> None:
    named = {one.name for one in key.recipients} | ({RecoveryService.name} if key.recovery else set[str]())
    strange = sorted(set(found.recipients) - named)
    if strange:
        who = ", ".join(f"`{name}`" for name in strange)
        raise ConfigError(
            f"the keyring `{key.path}` is also wrapped for {who}, of which `keys: {key.name}` says nothing; name them "
            f"there, or remove them: `sovbroker keys recipients apply {key.name}`"
        )
    if found.quorum != key.quorum:
        raise ConfigError(
            f"the keyring `{key.path}` takes {found.quorum} of its recipients, and `keys: {key.name}` says "
            f"{key.quorum}; change the configuration, or the keyring: `sovbroker keys recipients apply {key.name}`"
        )


def create_keyring(key: KeyConfig, *, passphrase: str | None = None) -> str | None:
    """Create the file of a keyring for all of its recipients; return its recovery code, to be shown this once.

    Raises ConfigError where one of them is not at hand, and InvalidArgument for a quorum that cannot be met.
    """
    with ExitStack() as opened:
        services = _all_of_them(key, opened, passphrase=passphrase)
        escrows = {one.name: escrow_of(one) for one in key.recipients if one.offline}
        keyring, code = Keyring.create(key.path, services, recovery=key.recovery, escrows=escrows, quorum=key.quorum)
        keyring.close()
        return code


def _all_of_them(key: KeyConfig, opened: ExitStack, *, passphrase: str | None = None) -> list[KeyService]:
    """Return the services of a keyring, every one that does not lie offline; `opened` closes them."""
    services: list[KeyService] = []
    for one in key.recipients:
        if not one.offline:
            services.append(open_recipient(one, passphrase=passphrase))
            opened.callback(services[-1].close)
    return services


def escrow_of(recipient: RecipientConfig) -> bytes:
    """Return the public half of an escrow. Raises ConfigError where its file cannot be read."""
    if recipient.public is None:
        raise ConfigError(f"the escrow `{recipient.name}` has no `public` half, so nothing can be wrapped for it")
    try:
        return public_key(recipient.public.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the public half of the escrow `{recipient.name}`: {error}") from error
