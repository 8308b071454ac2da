"""What a bucket is like, question by question: what a service does not answer, or not to these credentials, is None.

A code that says that there is no such configuration is an answer; a bare 404 is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from sovbroker.errors import InvalidArgument, NotFound, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Inspection
from sovbroker_adapters.s3.client import NOTHING, Answer, Connection

__all__ = ["inspect"]

EVERYBODY: Final = ("/global/AllUsers", "/global/AuthenticatedUsers")
READS: Final = frozenset({"READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL"})
SECOND: Final = timedelta(seconds=1)


def inspect(connection: Connection) -> Inspection:
    """See `Store.inspect`."""
    asking = _Asking(connection)
    before = datetime.now(UTC)
    head = asking.ask("head_bucket")
    after = datetime.now(UTC)
    location = asking.ask("get_bucket_location")
    clock = _clock(head)
    found = Inspection(
        clock=clock,
        skew=None if clock is None else _skew(clock, before, after),
        region=_region(head, location),
        public=_public(asking),
        versioned=_versioned(asking.ask("get_bucket_versioning")),
        locks=_locks(asking.ask("get_object_lock_configuration", none="ObjectLockConfigurationNotFoundError")),
        encryption=_encryption(
            asking.ask("get_bucket_encryption", none="ServerSideEncryptionConfigurationNotFoundError")
        ),
        removals=_removals(asking.ask("get_bucket_lifecycle_configuration", none="NoSuchLifecycleConfiguration")),
    )
    if not asking.told and asking.failure is not None:
        raise asking.failure
    return found


@dataclass(slots=True)
class _Asking:
    """Asks, and remembers the first failure and whether anything was told at all."""

    connection: Connection
    told: bool = False
    failure: SovbrokerError | None = None

    def ask(self, operation: str, *, none: str | None = None) -> Answer | None:
        """Return the answer; an empty one where the code `none` says that there is nothing; None for no answer."""
        try:
            answer = self.connection.ask(operation)
        except (StoreError, InvalidArgument) as error:
            code = _code(error)
            if none is not None and code == none:
                self.told = True
                return NOTHING
            if isinstance(error, NotFound) and (code == "NoSuchBucket" or operation == "head_bucket"):
                message = f"there is no bucket `{self.connection.bucket}`"
                raise NotFound(message, target=self.connection.target) from error
            if isinstance(error, Unavailable) and operation == "head_bucket":
                # Then the others would wait in vain, too.
                raise
            self.failure = self.failure or error
            return None
        self.told = True
        return answer


def _code(error: Exception) -> str:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - the SDK is loaded lazily

    from sovbroker_adapters.s3.failures import code_of  # noqa: PLC0415 - it needs the SDK

    cause = error.__cause__
    return code_of(cause)[0] if isinstance(cause, ClientError) else ""


def _clock(answer: Answer | None) -> datetime | None:
    if answer is None:
        return None
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _skew(clock: datetime, before: datetime, after: datetime) -> timedelta:
    """Return the least skew that explains a clock that tells whole seconds, between two moments of this machine."""
    if clock > after:
        return clock - after
    if clock + SECOND <= before:
        return clock + SECOND - before
    return timedelta(0)


def _region(head: Answer | None, location: Answer | None) -> str | None:
    for answer, name in ((head, "BucketRegion"), (location, "LocationConstraint")):
        said = None if answer is None else answer.get(name)
        if said:
            return str(said)
    return None


def _public(asking: _Asking) -> bool | None:
    """Whether a grant or a policy opens the bucket. What a service makes of both and of a block is not known."""
    acl = _granted(asking.ask("get_bucket_acl"))
    policy = _open(asking.ask("get_bucket_policy_status", none="NoSuchBucketPolicy"))
    if not (acl or policy):
        return None if acl is None or policy is None else False
    block = asking.ask("get_public_access_block", none="NoSuchPublicAccessBlockConfiguration") or NOTHING
    blocks = block.get("PublicAccessBlockConfiguration", {})
    blocked = (not acl or blocks.get("IgnorePublicAcls")) and (not policy or blocks.get("RestrictPublicBuckets"))
    return None if blocked else True


def _granted(answer: Answer | None) -> bool | None:
    if answer is None or "Grants" not in answer:
        return None
    return any(
        grant.get("Grantee", {}).get("URI", "").endswith(EVERYBODY) and grant.get("Permission") in READS
        for grant in answer["Grants"]
    )


def _open(answer: Answer | None) -> bool | None:
    if answer is None:
        return None
    if answer is NOTHING:
        return False
    return cast("bool | None", answer.get("PolicyStatus", {}).get("IsPublic"))


def _versioned(answer: Answer | None) -> bool | None:
    return None if answer is None else answer.get("Status") == "Enabled"


def _locks(answer: Answer | None) -> bool | None:
    if answer is None:
        return None
    if answer is NOTHING:
        return False
    said = answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled")
    return None if said is None else said == "Enabled"


def _encryption(answer: Answer | None) -> str | None:
    if answer is None:
        return None
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    said = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    return ", ".join(f"{each.get('SSEAlgorithm', '')} {each.get('KMSMasterKeyID', '')}".strip() for each in said)


def _removals(answer: Answer | None) -> tuple[str, ...] | None:
    if answer is None:
        return None
    rules = [rule for rule in answer.get("Rules", ()) if rule.get("Status") == "Enabled"]
    return tuple(sentence for rule in rules for sentence in _sentences(rule))


def _sentences(rule: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a rule removes. What only ends unfinished uploads, or clears away markers, removes no object."""
    which = _which(rule)
    name = f" (rule `{rule['ID']}`)" if rule.get("ID") else ""
    expiration = rule.get("Expiration", {})
    if "Days" in expiration:
        yield f"objects{which} are removed {_days(expiration['Days'])} after they were written{name}"
    if "Date" in expiration:
        yield f"objects{which} are removed on {expiration['Date']:%Y-%m-%d}{name}"
    older = rule.get("NoncurrentVersionExpiration", {})
    if older:
        spared = older.get("NewerNoncurrentVersions")
        but = f", but for the newest {spared}," if spared else ""
        when = _days(older.get("NoncurrentDays", 0))
        yield f"older versions of objects{which}{but} are removed {when} after they were replaced{name}"


def _which(rule: Mapping[str, Any]) -> str:
    """Return which objects a rule is about, as words that follow the noun."""
    given = rule.get("Filter", {})
    given = given | given.get("And", {})
    prefix = given.get("Prefix") or rule.get("Prefix")
    tags = [*given.get("Tags", ()), *filter(None, [given.get("Tag")])]
    words = [f" under `{prefix}`"] if prefix else []
    words += [f" tagged `{tag.get('Key')}={tag.get('Value')}`" for tag in tags]
    for bound, said in (("ObjectSizeGreaterThan", "larger"), ("ObjectSizeLessThan", "smaller")):
        if bound in given:
            words.append(f" {said} than {given[bound]} bytes")
    return ",".join(words)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
