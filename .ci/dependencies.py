"""Holds the dependencies against deny.toml where cargo-deny is not installed: licences as their manifests state them,
sources, bans. No advisories: their database is not on every machine.

Usage: cargo metadata --all-features --format-version 1 | python3 dependencies.py deny.toml
"""

import json
import re
import sys
import tomllib

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, licences):
    """Whether an SPDX expression can be met with these licences: AND binds closer than OR."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    # An exception only adds to what its licence permits.
    while "WITH" in words:
        at = words.index("WITH")
        del words[at : at + 2]
    python = {"OR": "or", "AND": "and", "(": "(", ")": ")"}
    return eval(" ".join(python.get(word, str(word in licences)) for word in words))


def main():
    with open(sys.argv[1], "rb") as file:
        rules = tomllib.load(file)
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    licences = set(rules["licenses"]["allow"])
    exceptions = {one["crate"]: set(one["allow"]) for one in rules["licenses"].get("exceptions", [])}
    banned = {one["crate"]: one for one in rules["bans"]["deny"]}
    features = {one["crate"]: one for one in rules["bans"].get("features", [])}
    wrong = set()
    for node in metadata["resolve"]["nodes"]:
        package = packages[node["id"]]
        name = package["name"]
        here = "%s %s" % (name, package["version"])
        licence = package["license"]
        if not licence or not allowed(licence, licences | exceptions.get(name, set())):
            wrong.add("%s: licence `%s` is not among those that deny.toml allows" % (here, licence))
        if package["source"] not in (None, REGISTRY):
            wrong.add("%s: comes from %s, not from crates.io" % (here, package["source"]))
        for feature in set(features.get(name, {}).get("deny", [])) & set(node["features"]):
            wrong.add("%s: feature `%s` is banned: %s" % (here, feature, features[name]["reason"]))
        for dependency in node["deps"]:
            used = packages[dependency["pkg"]]["name"]
            if used in banned and name not in banned[used].get("wrappers", []):
                wrong.add("%s: uses %s, which is banned: %s" % (here, used, banned[used]["reason"]))
    for text in sorted(wrong):
        print(text, file=sys.stderr)
    print("%d packages looked at" % len(metadata["resolve"]["nodes"]))
    sys.exit(1 if wrong else 0)


main()
