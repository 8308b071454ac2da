"""What the command line tells of sizes whose provider does not tell their prices."""

import json

from sovbroker.testing.ovh import OvhService


def test_sizes_tell_of_which_day_a_price_is(home, done, monkeypatch):
    names = ("application_key", "application_secret", "consumer_key")
    with OvhService() as service:
        binding = service.binding()
        for name in names:
            monkeypatch.setenv(name.upper(), binding.credentials.get(name))
        credentials = ", ".join(f"{name}: {{env: {name.upper()}}}" for name in names)
        file = home / "sovbroker.yaml"
        file.write_text(
            f"{file.read_text()}\ncompute:\n  - {{at: ovhcloud/gra, project: '{binding.container}', emulated: true,\n"
            f"     endpoint: '{binding.endpoint}', credentials: {{{credentials}}}, settings: {{region: GRA11}}}}\n"
        )
        (told,) = json.loads(done("compute", "sizes", "ovhcloud/gra", "--json"))
        heading, row = (line.split("  ") for line in done("compute", "sizes", "ovhcloud/gra").splitlines())
    assert (told["name"], told["price"], told["priced"]) == ("d2-2", "0.0104", "2026-08-14")
    assert told["id"] not in {"", "d2-2"}
    shown = dict(zip(*([cell.strip() for cell in cells if cell.strip()] for cells in (heading, row)), strict=True))
    assert (shown["size"], shown["EUR/h"], shown["list of"]) == ("d2-2", "0.0104", "2026-08-14")
