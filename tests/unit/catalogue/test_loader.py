"""The catalogue of a folder: providers, targets, digest."""

import copy
import threading
from pathlib import Path

import pytest

from sovbroker.catalogue import load
from sovbroker.errors import ConfigError


def test_targets_by_reference(folder, acme):
    known = load(folder(acme=acme))
    assert known.providers == ("acme",)
    assert repr(known) == "<catalogue of 1 providers>"
    assert known.target("acme/lyon") == known.target("acme/object-storage@lyon")
    assert known.target("acme/vmware@lyon").id == "acme/vmware@lyon"
    assert [target.id for target in known.targets()] == ["acme/lyon", "acme/oslo"]
    assert [target.id for target in known.targets(offer="vmware")] == ["acme/vmware@lyon"]
    assert known.targets(offer="paas") == ()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("acmee/lyon", r"unknown provider `acmee`; did you mean `acme`\?"),
        ("acme/lyn", r"`acme` has no region `lyn`; did you mean `lyon`\?"),
        ("acme/vmwar@lyon", r"`acme` offers no `vmwar` in `lyon`; did you mean `vmware`\?"),
        ("acme/vmware@oslo", "`acme` offers no `vmware` in `oslo`; known: `compute`, `object-storage`"),
        ("acme", "names no target"),
        ("", "names no target"),
        ("acme/", "names no target"),
        ("acme/lyon/x", "names no target"),
        ("acme/a@b@lyon", "names no target"),
        ("acme/lyon\n", "has no region `lyon\n`"),
        ("../acme/lyon", "names no target"),
    ],
)
def test_a_wrong_reference_is_refused_with_a_hint(folder, acme, reference: str, said: str):
    known = load(folder(acme=acme))
    for call in (known.target, known.connection):
        with pytest.raises(ConfigError, match=said):
            call(reference)


def test_only_storage_is_connected_to(folder, acme):
    with pytest.raises(ConfigError, match="does not store objects; write `acme/lyon`"):
        load(folder(acme=acme)).connection("acme/vmware@lyon")


def test_a_file_is_read_when_it_is_needed_and_once(folder, acme, monkeypatch):
    known = load(folder(acme=acme, broken="schema: [\n"))
    opened: list[str] = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (opened.append(path.name), plain(path))[1])
    assert known.target("acme/lyon") == known.target("acme/lyon")
    assert known.provider("acme") is known.provider("acme")
    assert opened == ["acme.yaml"]
    with pytest.raises(ConfigError, match=r"broken\.yaml:"):
        known.provider("broken")
    with pytest.raises(ConfigError, match=r"broken\.yaml:"):
        known.targets()


def test_a_file_that_breaks_a_rule_is_refused_with_its_place(folder, acme):
    known = load(folder(acme=acme.replace("sources: [press]", "sources: [pres]")))
    with pytest.raises(ConfigError, match=r"(?s)SC010.*acme\.yaml:11:.*did you mean `press`"):
        known.target("acme/lyon")


def test_a_source_that_nobody_names_does_not_stop_the_broker(folder, acme):
    spare = acme.replace("sources:\n", 'sources:\n  spare: {ref: "x"}\n', 1)
    assert load(folder(acme=spare)).target("acme/lyon").id == "acme/lyon"


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        load(tmp_path / "nope")


def test_the_digest_is_of_what_the_files_say(folder, acme, tmp_path):
    first = load(folder(acme=acme, other=acme)).digest
    assert len(first) == 64
    lines = acme.splitlines()
    moved = "\n".join(["# a comment", *lines[1:], "", lines[0], ""])
    assert (
        load(
            folder(
                acme=moved.replace("[FR]", "[ FR ]").replace("tier: eu-controlled", "tier: eu-controlled  # here"),
                other=acme,
            )
        ).digest
        == first
    )
    seen = {first}
    for changed in (
        acme.replace("country: NO", "country: SE"),
        acme.replace("as_of: 2026, sources: [press]", "as_of: 2025, sources: [press]"),
        acme.replace("[FR, NO]", "[NO, FR]"),
        acme.replace("place: Lyon", 'place: "Lyon#"'),
    ):
        seen.add(load(folder(acme=changed)).digest)
    (tmp_path / "acme.yaml").rename(tmp_path / "acne.yaml")
    seen.add(load(tmp_path).digest)
    assert len(seen) == 6


def test_the_digest_cannot_be_made_alike_by_moving_a_border(folder, acme):
    one = load(folder(acme=acme.replace("[always, sometimes]", '["a", "bc"]'))).digest
    two = load(folder(acme=acme.replace("[always, sometimes]", '["ab", "c"]'))).digest
    assert one != two


def test_threads_see_one_provider(folder, acme):
    known = load(folder(acme=acme))
    start = threading.Barrier(8)
    found = []

    def ask():
        start.wait()
        found.append(known.provider("acme"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(provider is found[0] for provider in found)


def test_norway_is_no_boolean(folder, acme):
    target = load(folder(acme=acme)).target("acme/oslo")
    assert target.facts.located.value == {"NO"}
    assert copy.deepcopy(target) == target
