"""What a bucket is like: what the service says, and None where it says nothing that can be relied on."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sovbroker.errors import NotFound, NotSupported, PermissionDenied, StoreError, Unavailable
from sovbroker.ports import Inspection
from sovbroker.testing.chaos import Reset, Status
from sovbroker_adapters.s3 import build
from sovbroker_adapters.s3.inspection import _skew

XML = (("Content-Type", "application/xml"),)
ORDER = ("head", "location", "acl", "policy", "versioning", "lock", "encryption", "lifecycle")
DENIED = Status(403, b"<Error><Code>AccessDenied</Code></Error>")
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


def said(code, status=404):
    return Status(status, f"<Error><Code>{code}</Code></Error>".encode())


def xml(body):
    return Status(200, body.encode(), XML)


def acl(*uris, permission="READ"):
    grants = "".join(
        '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
        f"<URI>{uri}</URI></Grantee><Permission>{permission}</Permission></Grant>"
        for uri in uris
    )
    return xml(f"<AccessControlPolicy><AccessControlList>{grants}</AccessControlList></AccessControlPolicy>")


def policy(public):
    return xml(f"<PolicyStatus><IsPublic>{str(public).lower()}</IsPublic></PolicyStatus>")


def lifecycle(*rules):
    return xml(f"<LifecycleConfiguration>{''.join(f'<Rule>{rule}</Rule>' for rule in rules)}</LifecycleConfiguration>")


def telling():
    """What a service answers that tells everything, by its clock of now."""
    return {
        "head": Status(
            200, b"", (("x-amz-bucket-region", "eu-west-9"), ("Date", format_datetime(datetime.now(UTC), usegmt=True)))
        ),
        "location": xml("<LocationConstraint>eu-west-9</LocationConstraint>"),
        "acl": acl(),
        "policy": said("NoSuchBucketPolicy"),
        "versioning": xml("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
        "lock": said("ObjectLockConfigurationNotFoundError"),
        "encryption": said("ServerSideEncryptionConfigurationNotFoundError"),
        "lifecycle": said("NoSuchLifecycleConfiguration"),
    }


@pytest.fixture
def inspected(store, proxy):
    """A function that inspects a bucket of a service that tells everything, but for what is given."""

    def inspect(*more, **answers):
        told = telling() | answers
        script = [told[name] for name in ORDER]
        place = ORDER.index("policy") + 1
        proxy.script(*script[:place], *more, *script[place:])
        found = store.inspect()
        assert len(proxy.seen) == len(script) + len(more)
        return found

    return inspect


def test_everything_is_told(inspected):
    found = inspected()
    assert (found.region, found.public, found.versioned, found.locks) == ("eu-west-9", False, True, False)
    assert (found.encryption, found.removals) == ("", ())
    assert abs(found.skew) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("acl", "public"),
        ("policy", "public"),
        ("versioning", "versioned"),
        ("lock", "locks"),
        ("encryption", "encryption"),
        ("lifecycle", "removals"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        DENIED,
        Status(404),
        said("NoSuchKey"),
        said("NotImplemented", 501),
        Status(405),
        said("InvalidArgument", 400),
        said("KeyTooLongError", 400),
        Status(503),
        Status(301),
        Reset(),
        Status(200, b"", XML),
        Status(200, b"not xml", XML),
        xml("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
        xml("<html><body>log in here</body></html>"),
        xml("<Error><Code>InternalError</Code></Error>"),
    ],
)
def test_what_is_not_told_is_none_and_the_rest_is_told(inspected, name, field, answer):
    found = inspected(**{name: answer})
    assert getattr(found, field) is None
    others = {"public", "versioned", "locks", "encryption", "removals", "region", "clock", "skew"} - {field}
    assert all(getattr(found, other) is not None for other in others)


def test_a_region_that_only_one_answer_names(inspected):
    assert inspected(location=DENIED).region == "eu-west-9"


def test_a_region_by_location_alone(inspected):
    assert inspected(head=Status(200)).region == "eu-west-9"


@pytest.mark.parametrize("location", [xml("<LocationConstraint/>"), DENIED, xml("<a/>")])
def test_a_region_that_nobody_names_is_not_guessed(inspected, location):
    found = inspected(head=Status(200), location=location)
    assert (found.region, found.clock, found.skew) == (None, None, None)


@pytest.mark.parametrize("group", ["AllUsers", "AuthenticatedUsers"])
@pytest.mark.parametrize("permission", ["READ", "WRITE", "FULL_CONTROL", "READ_ACP"])
def test_a_grant_to_everybody_is_public(inspected, group, permission):
    uri = f"http://acs.amazonaws.com/groups/global/{group}"
    assert inspected(said("NoSuchPublicAccessBlockConfiguration"), acl=acl(uri, permission=permission)).public is True


def test_a_grant_to_a_group_of_the_provider_is_not(inspected):
    assert inspected(acl=acl("http://acs.amazonaws.com/groups/s3/LogDelivery")).public is False


def test_a_public_policy_is_public_also_when_the_grants_are_not_told(inspected):
    assert inspected(DENIED, acl=DENIED, policy=policy(public=True)).public is True


@pytest.mark.parametrize(
    ("blocks", "granted", "open_", "public"),
    [
        ("<IgnorePublicAcls>true</IgnorePublicAcls>", True, False, None),
        ("<IgnorePublicAcls>true</IgnorePublicAcls>", True, True, True),
        ("<RestrictPublicBuckets>true</RestrictPublicBuckets>", False, True, None),
        ("<RestrictPublicBuckets>true</RestrictPublicBuckets>", True, True, True),
        ("<BlockPublicAcls>true</BlockPublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>", True, True, True),
        (
            "<IgnorePublicAcls>true</IgnorePublicAcls><RestrictPublicBuckets>true</RestrictPublicBuckets>",
            True,
            True,
            None,
        ),
    ],
)
def test_what_a_service_makes_of_a_grant_and_a_block_is_not_known(inspected, blocks, granted, open_, public):
    block = xml(f"<PublicAccessBlockConfiguration>{blocks}</PublicAccessBlockConfiguration>")
    grants = acl(ALL_USERS) if granted else acl()
    assert inspected(block, acl=grants, policy=policy(public=open_)).public is public


@pytest.mark.parametrize(("status", "versioned"), [("Enabled", True), ("Suspended", False)])
def test_versions(inspected, status, versioned):
    answer = xml(f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>")
    assert inspected(versioning=answer).versioned is versioned


def test_a_bucket_that_never_kept_versions(inspected):
    assert inspected(versioning=xml("<VersioningConfiguration/>")).versioned is False


def test_locks(inspected):
    body = "<ObjectLockConfiguration>{}</ObjectLockConfiguration>"
    assert inspected(lock=xml(body.format("<ObjectLockEnabled>Enabled</ObjectLockEnabled>"))).locks is True


def test_locks_that_are_not_told(inspected):
    assert inspected(lock=xml("<ObjectLockConfiguration/>")).locks is None


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ("<SSEAlgorithm>AES256</SSEAlgorithm>", "AES256"),
        ("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>arn:key</KMSMasterKeyID>", "aws:kms arn:key"),
    ],
)
def test_encryption(inspected, rule, shown):
    by_default = f"<Rule><ApplyServerSideEncryptionByDefault>{rule}</ApplyServerSideEncryptionByDefault></Rule>"
    body = f"<ServerSideEncryptionConfiguration>{by_default}</ServerSideEncryptionConfiguration>"
    assert inspected(encryption=xml(body)).encryption == shown


ON = "<Status>Enabled</Status>"
RULES = {
    f"<ID>one</ID>{ON}<Filter><Prefix>tmp/</Prefix></Filter><Expiration><Days>1</Days></Expiration>": (
        "objects under `tmp/` are removed 1 day after they were written (rule `one`)",
    ),
    f"{ON}<Prefix></Prefix><Expiration><Date>2027-01-02T00:00:00Z</Date></Expiration>": (
        "objects are removed on 2027-01-02",
    ),
    f"{ON}<Filter/><NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays>"
    "<NewerNoncurrentVersions>3</NewerNoncurrentVersions></NoncurrentVersionExpiration>": (
        "older versions of objects, but for the newest 3, are removed 7 days after they were replaced",
    ),
    f"{ON}<Filter><And><Prefix>a/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag>"
    "<ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></And></Filter><Expiration><Days>2</Days></Expiration>"
    "<NoncurrentVersionExpiration><NoncurrentDays>4</NoncurrentDays></NoncurrentVersionExpiration>": (
        "objects under `a/`, tagged `k=v`, larger than 9 bytes are removed 2 days after they were written",
        "older versions of objects under `a/`, tagged `k=v`, larger than 9 bytes are removed 4 days after they were "  # noqa: ISC004 - one sentence
        "replaced",
    ),
    f"{ON}<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter><Expiration><Days>2</Days></Expiration>": (
        "objects tagged `k=v` are removed 2 days after they were written",
    ),
    f"{ON}<Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload>": (),
    f"{ON}<Filter/><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>": (),
    f"{ON}<Filter/><Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition>": (),
    "<Status>Disabled</Status><Filter/><Expiration><Days>1</Days></Expiration>": (),
}


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
def test_removals_are_a_sentence_each(inspected, rule):
    assert inspected(lifecycle=lifecycle(rule)).removals == RULES[rule]


def test_several_removals(inspected):
    given = list(RULES)[:3]
    assert inspected(lifecycle=lifecycle(*given)).removals == tuple(each for rule in given for each in RULES[rule])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(DENIED, PermissionDenied), (Status(501), NotSupported), (Status(301), StoreError), (Status(404), NotFound)],
)
def test_where_nothing_at_all_is_told_the_first_no_is_the_answer(store, proxy, answer, expected):
    proxy.always(answer)
    with pytest.raises(expected):
        store.inspect()


@pytest.mark.parametrize("answer", [Status(503), Reset()])
def test_a_service_that_is_down_is_asked_once(store, proxy, answer):
    proxy.always(answer)
    with pytest.raises(Unavailable):
        store.inspect()
    assert len(proxy.seen) == 1


def test_credentials_that_may_not_ask_for_the_bucket_itself(inspected):
    found = inspected(head=DENIED)
    assert (found.clock, found.region, found.versioned) == (None, "eu-west-9", True)


@pytest.mark.parametrize("name", ["head", "versioning"])
def test_a_missing_bucket_is_named(store, proxy, bucket, name):
    told = telling()
    script = [told[each] for each in ORDER]
    script[ORDER.index(name)] = Status(404) if name == "head" else said("NoSuchBucket")
    proxy.script(*script)
    with pytest.raises(NotFound, match=f"there is no bucket `{bucket}`") as caught:
        store.inspect()
    assert caught.value.key is None


def test_nothing_is_changed_by_asking(store, proxy):
    store.inspect()
    assert {seen.method for seen in proxy.seen} == {"GET", "HEAD"}


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [(0, 0.2, 0), (0.9, 1.1, 0), (-1, 2, 0), (-0.5, -0.2, 0.2), (1.5, 1.6, -0.5), (-60, -59, 59), (61, 62, -60)],
)
def test_a_clock_of_whole_seconds_is_not_taken_for_a_wrong_one(before, after, seconds):
    moments = (NOON + timedelta(seconds=before), NOON + timedelta(seconds=after))
    assert _skew(NOON, *moments) == timedelta(seconds=seconds)


@pytest.mark.parametrize("said_", ["", "yesterday", "Thu, 32 Jan 2026 12:00:00 GMT"])
def test_a_clock_that_cannot_be_read(inspected, said_):
    found = inspected(head=Status(200, b"", (("Date", said_),)))
    assert (found.clock, found.skew) == (None, None)


def test_a_clock_that_is_wrong(inspected):
    wrong = format_datetime(datetime.now(UTC) + timedelta(hours=3), usegmt=True)
    assert inspected(head=Status(200, b"", (("Date", wrong),))).skew > timedelta(hours=2, minutes=50)


def test_moto_tells(moto, bucket):
    moto.create_bucket(bucket, lock=True)
    store = build(moto.binding(bucket))
    found = store.inspect()
    assert (found.region, found.public, found.versioned, found.locks) == ("us-east-1", False, True, True)
    assert (found.encryption, found.removals) == ("", ())
    store.close()


def test_rclone_knows_next_to_nothing(rclone, bucket):
    """It answers most questions with a listing, which says nothing of what was asked."""
    rclone.create_bucket(bucket)
    store = build(rclone.binding(bucket))
    found = store.inspect()
    assert found == Inspection(clock=found.clock, skew=found.skew, versioned=False)
    store.close()
