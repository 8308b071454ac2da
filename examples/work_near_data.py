"""A job on patients' data: a machine where the data may be in the clear, its result with their label, and nothing left.

The machine is a plain process on this one; at a provider it would be the same call.

Prints:
    allowed: a machine for data labelled restricted
      because  label restricted: rule `patients`, and the stored `restricted`
               near 2 objects
      runs at  local/compute  small, 0 EUR/h, 100% of the data
    report is running at local/compute
    patients/report.txt: 2 patients, labelled restricted
    machines left: 0
"""

import sys
import tempfile
import time
from pathlib import Path

import sovbroker

POLICY = """
sovbroker: 1
name: hospital
levels: [restricted]
zones: {french: {located: [FR], controlled: [FR]}}
require: {restricted: {store: {french: {}}, compute: [french]}}
classify: [{id: patients, path: "patients/**", label: restricted}]
"""
CONFIG = """
sovbroker: 1
policy: policy.yaml
targets: [{at: local, path: objects, located: FR, controlled: FR}]
compute: [{at: local, path: machines, located: FR, controlled: FR, settings: {isolation: none}}]
"""
JOB = """#!/bin/sh
%s -c 'import sovbroker
with sovbroker.open("%s") as broker:
    patients = [found.key for found in broker.list("patients/")]
    broker.put("patients/report.txt", b"%%d patients" %% len(patients))'
"""

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "policy.yaml").write_text(POLICY)
    (Path(folder) / "sovbroker.yaml").write_text(CONFIG)
    (Path(folder) / "objects").mkdir()
    with sovbroker.open(folder) as broker:
        broker.put("patients/1.json", b"{}")
        broker.put("patients/2.json", b"{}")
        print(broker.compute.explain("report", near="patients/", image="host", memory="256MiB"))
        job = JOB % (sys.executable, folder)
        node = broker.compute.launch("report", near="patients/", image="host", memory="256MiB", ttl="1h", user_data=job)
        print(node.name, "is", node.state, "at", node.target)
        while not broker.exists("patients/report.txt"):
            time.sleep(0.05)
        result = broker.stat("patients/report.txt")
        print(f"{result.key}: {broker.read(result.key).decode()}, labelled {result.label}")
        broker.compute.destroy("report")
        print("machines left:", len(broker.compute.list()))
