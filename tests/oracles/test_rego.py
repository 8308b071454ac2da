import json

import regorus

from sovbroker.policy.export import rego_facts, to_rego


def asked_of_rego(asked):
    found = {name: asked[name] for name in ("key", "label", "stored", "scan") if asked[name] is not None}
    return found | {"metadata": asked["metadata"]}


def answers(loaded, objects):
    """Return what Rego answers for many objects, in one evaluation."""
    engine = regorus.Engine()
    engine.add_policy("policy.rego", to_rego(loaded.policy, at=loaded.day))
    engine.add_data_json(rego_facts(loaded.policy, at=loaded.day))
    engine.set_input_json(json.dumps({"objects": objects}))
    return json.loads(engine.eval_rule_as_json("data.sovbroker.decisions"))


def modes(found):
    return {(m["encrypt"] == "client", m["names"] == "encrypt", frozenset(m["keys"])) for m in found}


def differences(tools, loaded):
    by_text = {json.dumps(asked_of_rego(asked)): asked for asked in loaded.objects}
    found = dict(zip(by_text, answers(loaded, [json.loads(text) for text in by_text]), strict=True))
    least = {}
    for asked in loaded.objects:
        answer = found[json.dumps(asked_of_rego(asked))]
        decision = tools.decided(loaded, asked, day=loaded.day, operation="compute" if asked["compute"] else "put")
        said = (answer["label"], answer["rules"])
        if said != (str(decision.label), list(decision.rules)):
            yield f"{asked}: labelled {decision.label} by {decision.rules}, and by Rego {said}"
        placed = tools.complying(decision)
        if asked["compute"]:
            if answer["compute"] != sorted(placed):
                yield f"{asked}: computed on at {sorted(placed)}, and by Rego at {answer['compute']}"
            continue
        stored = {target: modes(every) for target, every in answer["store"].items()}
        if {target: tools.first(every) for target, every in stored.items()} != placed:
            yield f"{asked}: stored at {placed}, and by Rego at {stored}"
        if answer["refused"] != sorted(decision.rejected):
            yield f"{asked}: refused by {sorted(decision.rejected)}, and by Rego by {answer['refused']}"
        obliged = (answer["copies"], answer["distinct"])
        if obliged != (decision.copies, sorted(decision.distinct)):
            yield f"{asked}: {decision.copies} copies, distinct in {decision.distinct}, and by Rego {obliged}"
        scope = (answer["label"], tuple(answer["waivers"]))
        if scope not in least:
            reference = loaded.reference
            label = reference.label(answer["label"])
            waivers = [w for w in reference.policy["waivers"] if w["id"] in answer["waivers"]]
            every = {t.id: reference.least_modes(label, t, loaded.day, waivers) for t in reference.targets}
            least[scope] = {target: found for target, found in every.items() if found}
        if stored != least[scope]:
            yield f"{asked}: the least modes are {least[scope]}, and by Rego {stored}"


def test_rego_decides_as_the_policy_does(batch, tools):
    assert tools.agree(lambda loaded: differences(tools, loaded), batch) >= tools.objects / len(tools.batches)


def test_one_object_is_asked_about_as_many_are(tools):
    loaded = next(tools.worlds(range(9)))
    engine = regorus.Engine()
    engine.add_policy("policy.rego", to_rego(loaded.policy, at=loaded.day))
    engine.add_data_json(rego_facts(loaded.policy, at=loaded.day))
    asked = asked_of_rego(loaded.objects[0])
    engine.set_input_json(json.dumps(asked))
    assert json.loads(engine.eval_rule_as_json("data.sovbroker.decision")) == answers(loaded, [asked])[0]


def test_an_unknown_label_is_no_answer_in_rego(tools):
    loaded = next(tools.worlds(range(9)))
    levels = loaded.policy.lattice.levels
    for label in ("persnal", f"{levels[0]}+nothing", "", f"{levels[0]}+{levels[-1]}", 3):
        assert list(answers(loaded, [{"key": "a", "label": label}])[0]) == ["error"]
