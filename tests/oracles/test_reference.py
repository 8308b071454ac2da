from datetime import date


def test_the_policy_decides_as_the_reference_does(batch, tools):
    def differences(loaded):
        for asked in loaded.objects:
            day = date.fromisoformat(asked["day"])
            compute = asked["compute"]
            decision = tools.decided(loaded, asked, day=day, operation="compute" if compute else "put")
            scan = asked["scan"]
            expected = loaded.reference.decide(
                asked["key"],
                label=asked["label"],
                stored=asked["stored"],
                metadata=asked["metadata"],
                scan=None if scan is None else (scan["counts"], scan["complete"]),
                day=day,
                compute=compute,
            )
            retain = (None, None) if decision.retain is None else (decision.retain.min, decision.retain.max)
            found = (
                str(decision.label),
                decision.rules,
                [(c.target, str(c.mode)) for c in decision.targets],
                [(c.target, str(c.mode)) for c in decision.alternatives],
                set(decision.rejected),
                set((decision.waiver or "").split(", ")) - {""},
                retain,
                decision.pad,
            )
            wanted = (
                expected.label,
                expected.rules,
                expected.chosen,
                expected.alternatives,
                expected.rejected,
                expected.waivers,
                expected.retain,
                expected.pad,
            )
            if found != wanted:
                yield f"{asked}: decided {found}, and the reference {wanted}"

    assert tools.agree(differences, batch) >= tools.objects / len(tools.batches)
