import json
import random

import cedarpy
import pytest

from sovbroker.policy.export import to_cedar


class Engine:
    """Cedar, with the policies of one world."""

    def __init__(self, loaded):
        self.export = to_cedar(loaded.policy, at=loaded.day)
        self.schema = cedarpy.Schema.from_str(self.export.schema)
        self.policies = cedarpy.PolicySet.from_str(self.export.policies)
        self.base = cedarpy.Entities.from_json_str(self.export.entities, self.schema)

    def validated(self):
        return cedarpy.validate_policies(self.export.policies, self.schema)

    def allows(self, objects, requests):
        """Return whether each request is allowed; an error in any policy is a failure, for Cedar would leave it out."""
        entities = [
            {"uid": {"type": "Object", "id": name}, "attrs": attributes, "parents": []}
            for name, attributes in objects.items()
        ]
        everything = self.base.with_added_json_str(json.dumps(entities))
        results = cedarpy.is_authorized_batch(requests, self.policies, everything)
        errors = [error for result in results for error in result.diagnostics.errors]
        assert not errors, errors
        return [result.allowed for result in results]


def entity(kind, name):
    return {"type": kind, "id": name}


def request(name, target, proposal):
    context = {}
    if proposal is not None:
        encrypt, names, key = proposal
        context = {"encrypt": encrypt, "names": names}
        context |= {} if key is None else {"key": {"__entity": entity("KeyService", key)}}
    return {
        "principal": entity("Object", name),
        "action": entity("Action", "compute" if proposal is None else "store"),
        "resource": entity("Target", target),
        "context": context,
    }


def follows(best, proposal, held):
    """Return what the mode that the policy takes says of a proposal; None where it says nothing.

    `held` are the zones that hold the proposal's key. The policy takes the first of the least modes, so nothing that
    is before it is enough.
    """
    if best is None:
        return False
    encrypt, names, key = proposal
    if best[0] <= encrypt and best[1] <= names and best[2] <= held:
        return True
    if (encrypt, names) < best[:2] or ((encrypt, names) == best[:2] and key is None):
        return False
    return None


class Judge:
    """Asks Cedar about the objects of one world, each at one target: in some mode, and in the one the policy takes."""

    def __init__(self, tools, loaded):
        self.tools = tools
        self.loaded = loaded
        self.reference = loaded.reference
        self.services = [None, *(holder.id for holder in self.reference.holders)]
        self.held = {
            holder.id: {z for z in self.reference.policy["zones"] if self.reference.in_zone(z, holder, loaded.day)}
            for holder in self.reference.holders
        }

    def differences(self):
        rng, objects, wanted, doable = random.Random(0), {}, {}, []
        for asked in self.loaded.objects if self.reference.targets else ():
            decision = self.tools.decided(
                self.loaded, asked, day=self.loaded.day, operation="compute" if asked["compute"] else "put"
            )
            waivers = [w for w in self.reference.policy["waivers"] if w["id"] in self._waivers(asked)]
            name = f"{decision.label} {' '.join(sorted(w['id'] for w in waivers))}"
            elements = self.loaded.policy.lattice.elements(self.loaded.policy.lattice.mask(decision.label))
            objects[name] = {"elements": list(elements), "waivers": [w["id"] for w in waivers]}
            target = rng.choice(self.reference.targets)
            placed = self.tools.complying(decision)
            if asked["compute"]:
                wanted[name, target.id, None] = ("policy", target.id in placed, asked)
                continue
            best = placed.get(target.id)
            for proposal in self._proposals(rng, best):
                held = self.held.get(proposal[2], set())
                said = follows(best, proposal, held)
                if said is not None:
                    wanted[name, target.id, proposal] = ("policy", said, asked)
                else:
                    wanted.setdefault((name, target.id, proposal), ("reference", None, asked))
            if best is not None:
                modes = [(name, target.id, (*best[:2], key)) for key in self.services]
                doable.append((asked, best, modes))
                for mode in modes:
                    wanted.setdefault(mode, ("reference", None, asked))
        yield from self._compare(objects, wanted, doable)

    def _waivers(self, asked):
        return self.loaded.policy.classify(asked["key"], metadata=asked["metadata"]).waivers

    def _proposals(self, rng, best):
        """Return a mode that nobody chose, and the one that the policy takes, with a key that may serve it."""
        yield (rng.random() < 0.7, rng.random() < 0.5, rng.choice(self.services))
        if best is not None:
            yield (
                *best[:2],
                rng.choice([key for key in self.services if best[2] <= self.held.get(key, set())] or [None]),
            )

    def _compare(self, objects, wanted, doable):
        engine = Engine(self.loaded)
        validated = engine.validated()
        if not validated.validation_passed:
            yield f"Cedar's validator: {validated.errors}"
        allowed = engine.allows(objects, [request(*asked) for asked in wanted])
        for ((name, target, proposal), (who, said, asked)), found in zip(wanted.items(), allowed, strict=True):
            if said is not None and found != said:
                yield f"{asked} at {target}, proposed {proposal}: {who} says {said}, and Cedar {found} ({name})"
            if proposal is not None and found != self._enough(objects[name], name, target, proposal):
                yield f"{asked} at {target}, proposed {proposal}: Cedar says {found}, and not the reference ({name})"

        known = dict(zip(wanted, allowed, strict=True))
        for asked, best, modes in doable:
            if not any(known[mode] for mode in modes):
                yield f"{asked}: the policy takes {best}, which Cedar allows with no key service ({modes[0]})"

    def _enough(self, given, name, target, proposal):
        """Say whether one of the least modes, by the reference, is at most the one proposed."""
        label = self.reference.label(name.partition(" ")[0])
        day = self.loaded.day
        waivers = [
            w
            for w in self.reference.policy["waivers"]
            if w["id"] in given["waivers"] and day.isoformat() < w["expires"] and self._covers(w, label)
        ]
        thing = next(t for t in self.reference.targets if t.id == target)
        held = self.held.get(proposal[2], set())
        return any(
            m[0] <= proposal[0] and m[1] <= proposal[1] and m[2] <= held
            for m in self.reference.least_modes(label, thing, day, waivers)
        )

    def _covers(self, waiver, label):
        bound = self.reference.label(waiver["label"])
        return label[0] <= bound[0] and label[1] <= bound[1]


def test_cedar_allows_what_the_policy_does(batch, tools):
    assert tools.agree(lambda loaded: Judge(tools, loaded).differences(), batch) >= tools.objects / len(tools.batches)


PLAIN = {
    "sovbroker": "1",
    "levels": ["low"],
    "zones": {"fr": {"located": ["FR"]}, "any": {}},
    "require": {"low": {"store": {"fr": {}, "any": {"encrypt": "client", "keys": "fr"}}}},
}


@pytest.mark.parametrize(
    ("attributes", "target", "key", "allowed"),
    [
        ({"elements": ["low"], "waivers": []}, "p/us", "k", True),
        ({"elements": [], "waivers": []}, "p/us", "k", False),
        ({"elements": ["low"]}, "p/us", "k", False),
        ({"elements": ["low"], "waivers": []}, "p/other", "k", False),
        ({"elements": ["low"], "waivers": []}, "p/us", "other", False),
    ],
)
def test_what_cedar_does_not_know_is_not_allowed(attributes, target, key, allowed, tools):
    spec = tools.chance(0).world()
    place = {"located": {"countries": "FR"}, "controlled": {"countries": None}, "technology": {"countries": None}}
    place |= {"qualified": [], "seal": []}
    abroad = place | {"located": {"countries": "US"}}
    loaded = tools.load(spec | {"policy": PLAIN, "targets": {"p/us": abroad}, "keys": {"k": place}, "objects": []})
    engine = Engine(loaded)
    objects = [{"uid": {"type": "Object", "id": "o"}, "attrs": attributes, "parents": []}]
    everything = engine.base.with_added_json_str(json.dumps(objects))
    asked = request("o", target, (True, False, key))
    assert cedarpy.is_authorized(asked, engine.policies, everything).allowed is allowed
