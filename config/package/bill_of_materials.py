#!/usr/bin/env python3
"""What a binary is made of: bill_of_materials.py TARGET FEATURES VERSION DIRECTORY writes two files there.

crosswire.cdx.json            every crate in it with version, licence and checksum, in CycloneDX 1.5
third-party-licences.txt      the licences of those crates, each text once

Both come from Cargo.lock and the crates' own files, and are the same at each run.
"""

import json
import os
import subprocess
import sys
import uuid

target, features, version, directory = sys.argv[1:]
metadata = json.loads(subprocess.check_output([
    "cargo", "metadata", "--locked", "--format-version", "1", "--no-default-features", "--features", features,
    "--filter-platform", target,
]))
packages = {package["id"]: package for package in metadata["packages"]}
needs = {}
for node in metadata["resolve"]["nodes"]:
    # What only builds or tests it is not in it.
    needs[node["id"]] = [d["pkg"] for d in node["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"])]
root = metadata["resolve"]["root"]


def is_macro(identity):
    """Macros run in the compiler, and nothing of theirs is linked."""
    return any("proc-macro" in part["kind"] for part in packages[identity]["targets"])


def reached():
    found, waiting = set(), [root]
    while waiting:
        one = waiting.pop()
        if one not in found and not is_macro(one):
            found.add(one)
            waiting += needs[one]
    return sorted(found - {root}, key=lambda one: (packages[one]["name"], packages[one]["version"]))


def checksums():
    """By name and version, from Cargo.lock."""
    with open(os.path.join(metadata["workspace_root"], "Cargo.lock")) as lock:
        blocks = lock.read().split("[[package]]")[1:]
    fields = [dict(line.split(" = ", 1) for line in block.splitlines() if line.count(" = ")) for block in blocks]
    return {(f["name"].strip('"'), f["version"].strip('"')): f.get("checksum", "").strip('"') for f in fields}


def url(identity):
    return f'pkg:cargo/{packages[identity]["name"]}@{packages[identity]["version"]}'


def licence(identity):
    # A slash is how crates said OR once.
    return packages[identity]["license"].replace("/", " OR ")


crates, sums = reached(), checksums()
components = [{
    "type": "library", "bom-ref": url(one), "name": packages[one]["name"], "version": packages[one]["version"],
    "purl": url(one), "scope": "required", "licenses": [{"expression": licence(one)}],
    "hashes": [{"alg": "SHA-256", "content": sums[packages[one]["name"], packages[one]["version"]]}],
} for one in crates]
itself = f"pkg:cargo/crosswire@{version}"
known = set(crates)
bill = {
    "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
    "metadata": {"component": {
        "type": "application", "bom-ref": itself, "name": "crosswire", "version": version, "purl": itself,
        "licenses": [{"expression": licence(root)}],
        "properties": [{"name": "crosswire:target", "value": target}, {"name": "crosswire:features", "value": features}],
    }},
    "components": components,
    "dependencies": [{"ref": itself if one == root else url(one),
                      "dependsOn": sorted(url(need) for need in set(needs[one]) & known)} for one in [root, *crates]],
}
# The number of a bill is the same for the same contents.
bill["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True)).urn
with open(os.path.join(directory, "crosswire.cdx.json"), "w") as out:
    json.dump(bill, out, indent=1, sort_keys=True)
    out.write("\n")

texts = {}
for one in crates:
    home = os.path.dirname(packages[one]["manifest_path"])
    files = []
    for place, _, names in sorted(os.walk(home)):
        if place == home or os.path.basename(place) == "LICENSES":
            files += [os.path.join(place, name) for name in sorted(names)
                      if place != home or name.upper().startswith(("LICEN", "COPY", "UNLICENSE", "NOTICE"))]
    if not files:
        sys.exit(f"bill_of_materials.py: {home} has no licence file")
    name = f'{packages[one]["name"]} {packages[one]["version"]}: {licence(one)}'
    for file in files:
        with open(file, encoding="utf-8") as text:
            texts.setdefault(text.read().strip(), []).append(name)
OTHERS = """Beside these crates the binary holds Rust's standard library (MIT OR Apache-2.0, Copyright the Rust Project
contributors) and musl (MIT, Copyright 2005-2020 Rich Felker and others). The texts of both licences stand in LICENSE.
"""
with open(os.path.join(directory, "third-party-licences.txt"), "w", encoding="utf-8") as out:
    out.write(OTHERS + "\n" + "=" * 79 + "\n")
    for text, names in texts.items():
        out.write("\n".join(dict.fromkeys(names)) + "\n\n" + text + "\n\n" + "=" * 79 + "\n")
