from sovbroker import policy as policies
from sovbroker.policy.assumed import assumed_holders
from sovbroker.policy.zones import Subject

TEXT = """
sovbroker: 1
levels: [public, internal, secret]
zones:
  anywhere: {}
  french: {located: [FR], controlled: [EEA]}
  european: {located: [EEA], qualified: [secnumcloud>=3.2], seal: {framework: "1.2.1", SOV-2: 3}}
  american: {located: [US]}
  mine: {target: [vault]}
  nobody: {provider: [acme]}
require:
  public: {store: {anywhere: {encrypt: client, keys: KEYS}}}
  internal: {store: {anywhere: {encrypt: client, keys: [french]}}}
"""


def holders(keys, world):
    policy = policies.loads(TEXT.replace("KEYS", keys), targets=[world.target("p/a")], at=world.now)
    return policy.book, assumed_holders(policy.book)


def inside(book, holder, zone, world):
    return book.zones[zone].holds(Subject.of(holder), world.today)


def test_there_is_one_in_each_zone_and_one_in_all(world):
    book, found = holders("european", world)
    assert [holder.id for holder in found] == [
        "any key service in european",
        "any key service in european and french",
        "any key service in french",
    ]
    assert inside(book, found[0], "european", world)
    assert not inside(book, found[0], "french", world)
    assert inside(book, found[1], "european", world)
    assert inside(book, found[1], "french", world)


def test_none_is_in_zones_that_exclude_each_other(world):
    _, found = holders("american", world)
    assert [holder.id for holder in found] == ["any key service in american", "any key service in french"]
    assert holders("[american, french]", world)[1] == holders("[french, american]", world)[1]


def test_a_named_one_has_its_name_and_nobodys_provider_has_none(world):
    book, found = holders("mine", world)
    assert {holder.id for holder in found} == {"vault", "any key service in french"}
    assert inside(book, next(h for h in found if h.id == "vault"), "mine", world)
    assert [holder.id for holder in holders("nobody", world)[1]] == ["any key service in french"]
