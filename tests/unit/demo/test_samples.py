"""The sample files are what they claim to be: valid, synthetic, and the same each time."""

import csv
import hashlib
import json
import re
import struct
import zlib
from io import StringIO

import pytest

from sovbroker.demo import samples
from sovbroker.errors import ConfigError

MIB = 1 << 20


@pytest.fixture(scope="module")
def employees():
    text = (samples.data() / "payroll.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(StringIO(text), delimiter=";"))


def iban_is_valid(iban):
    letters = "".join(str(int(character, 36)) for character in iban[4:] + iban[:4])
    return re.fullmatch(r"FR\d{25}", iban) is not None and int(letters) % 97 == 1


def rib_is_valid(iban):
    bank, branch, account, key = int(iban[4:9]), int(iban[9:14]), int(iban[14:25]), int(iban[25:])
    return (89 * bank + 15 * branch + 3 * account + key) % 97 == 0


def nir_is_valid(nir):
    shape = re.fullmatch(r"[12]\d\d(0[1-9]|1[0-2])\d{10}", nir)
    return shape is not None and int(nir[13:]) == 97 - int(nir[:13]) % 97


def test_payroll_has_twelve_employees_with_valid_numbers(employees):
    assert len(employees) == 12
    for employee in employees:
        assert iban_is_valid(employee["iban"]), employee
        assert rib_is_valid(employee["iban"]), employee
        assert nir_is_valid(employee["nir"]), employee
        assert float(employee["net_a_payer_eur"]) < float(employee["brut_mensuel_eur"])
    for column in ("matricule", "nir", "iban"):
        assert len({employee[column] for employee in employees}) == 12


def test_the_numbers_belong_to_nobody(employees):
    assert {employee["iban"][4:9] for employee in employees} == {"99999"}, "a bank that does not exist"
    assert {employee["nir"][5:7] for employee in employees} == {"99"}, "born abroad"
    assert all(int(employee["nir"][7:10]) < 100 for employee in employees), "in a country that does not exist"


@pytest.mark.parametrize("digit", range(2, 27))
def test_the_iban_check_finds_a_changed_digit(employees, digit):
    iban = employees[0]["iban"]
    changed = iban[:digit] + str((int(iban[digit]) + 1) % 10) + iban[digit + 1 :]
    assert not iban_is_valid(changed)


def test_the_patient_record_is_a_fhir_bundle_that_holds_together():
    bundle = json.loads((samples.data() / "patient.json").read_text(encoding="utf-8"))
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    patient, observation = (entry["resource"] for entry in bundle["entry"])
    assert (patient["resourceType"], observation["resourceType"]) == ("Patient", "Observation")
    assert observation["subject"]["reference"] == bundle["entry"][0]["fullUrl"]
    assert observation["status"] == "final"
    assert observation["code"]["coding"][0] == {
        "system": "http://loinc.org",
        "code": "4548-4",
        "display": "Hemoglobin A1c/Hemoglobin.total in Blood",
    }
    (insee,) = (i["value"] for i in patient["identifier"] if i["system"] == "urn:oid:1.2.250.1.213.1.4.8")
    assert nir_is_valid(insee)
    assert (patient["gender"], patient["birthDate"][2:7]) == ("female", f"{insee[1:3]}-{insee[3:5]}")
    assert bundle["meta"]["tag"][0]["code"] == "HTEST"


def test_the_scan_is_a_png_that_decodes():
    data = (samples.data() / "scan.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]
    width, height, depth, colour = struct.unpack(">IIBB", chunks[0][1][:10])
    assert (depth, colour) == (8, 0)
    assert len(zlib.decompress(chunks[2][1])) == height * (width + 1)


def test_the_press_release_is_french_text():
    text = (samples.data() / "press-release.txt").read_text(encoding="utf-8")
    assert text.startswith("COMMUNIQUÉ DE PRESSE")
    assert "inventés" in text


def test_the_backup_is_deterministic_and_compressible_in_part(tmp_path):
    size = 4 * MIB + 5
    markers = samples.write_backup(tmp_path / "a", size=size)
    assert samples.write_backup(tmp_path / "b", size=size) == markers
    data = (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").read_bytes() == data
    assert len(data) == size
    assert len(zlib.compress(data[:MIB], 1)) > MIB * 0.99
    assert len(zlib.compress(data[MIB : 2 * MIB], 1)) < MIB * 0.1
    assert all(len(marker) >= 12 and marker in data for marker in markers)


def test_gathered_samples_know_themselves(tmp_path):
    gathered = samples.gather(tmp_path, backup_size=2 * MIB)
    assert len({sample.key for sample in gathered}) == len({sample.size for sample in gathered}) == 5
    for sample in gathered:
        content = sample.path.read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (sample.size, sample.digest)
        assert all(len(marker) >= 9 for marker in (*sample.markers, *sample.secrets))
        for marker in sample.markers:
            assert marker in content or marker.decode() in sample.key
    by_key = {sample.key: sample for sample in gathered}
    assert len(by_key["rh/paie-2026-11.csv"].markers) == 4


def test_missing_data_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(samples, "files", lambda _: tmp_path)
    monkeypatch.setattr(samples, "__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    with pytest.raises(ConfigError, match="reinstall sovbroker"):
        samples.data()


def test_installed_data_comes_first(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "policy.yaml").write_text("here")
    monkeypatch.setattr(samples, "files", lambda _: tmp_path)
    assert (samples.data() / "policy.yaml").read_text() == "here"
