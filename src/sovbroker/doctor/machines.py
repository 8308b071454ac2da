"""What can be wrong with the places for machines of an installation. Nothing is launched, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

from sovbroker.compute import ComputePlace
from sovbroker.doctor.findings import Finding, Patient, Severity, mend_of
from sovbroker.errors import ConfigError, SovbrokerError
from sovbroker.siting import site_of

__all__ = ["check_machines"]


def check_machines(patient: Patient) -> Iterator[Finding]:
    """Ask each place for machines what it lists, and whether it shows that it lists what is there."""
    for config in patient.config.compute:
        try:
            place = site_of(config, patient.catalogue)
        except ConfigError as error:
            yield Finding(Severity.ERROR, f"machines: {config.at}", str(error), mend_of(error))
            continue
        yield _asked(place)


def _asked(place: ComputePlace) -> Finding:
    subject = f"machines: {place.target.id}"
    if place.adapter == "local":
        # Opening it would make its folders.
        return Finding(Severity.OK, subject, f"in `{place.binding.container}`")
    try:
        provider = place.open()
        try:
            listed, shown = provider.machines(), provider.visibility()
        finally:
            provider.close()
    except SovbrokerError as error:
        return Finding(Severity.ERROR, subject, str(error), mend_of(error))
    if not shown.canary and not listed:
        mend = "give the credentials the right to list; until then `sovbroker compute audit` calls the place blind"
        return Finding(Severity.WARNING, subject, "it lists nothing, and nothing shows that it would", mend)
    seen = f", and sees {shown.canary}" if shown.canary else ""
    return Finding(Severity.OK, subject, f"it lists {len(listed)} machine{'' if len(listed) == 1 else 's'}{seen}")
