#!/usr/bin/env python3
"""Whether config/monitoring/dashboard.json is a dashboard by the types of grafana-foundation-sdk (PyPI): read into them and
written again, nothing is lost and nothing is another value. Prints what is."""
import json, pathlib, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

def differences(here, there, place=""):
    """What `there` has not as `here` has it; what the types add is theirs."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key, value in here.items():
            yield from differences(value, there[key], f"{place}/{key}") if key in there else [f"{place}/{key} is lost"]
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for number, pair in enumerate(zip(here, there)):
            yield from differences(*pair, f"{place}/{number}")
    elif here != there:
        yield f"{place} is {there!r} instead of {here!r}"

file = pathlib.Path(__file__).resolve().parents[1] / "config/monitoring/dashboard.json"
read = json.loads(file.read_text())
found = list(differences(read, json.loads(JSONEncoder().encode(Dashboard.from_json(read)))))
print("\n".join(found) or f"{file.name}: {len(read['panels'])} panels, all of the types of a dashboard")
sys.exit(bool(found))
