"""Prints the public API, one item a line, from rustdoc's JSON; fails where it names a foreign crate that is not allowed.

Usage: python3 public-api.py target/doc/tower_influx.json
"""

import json
import sys

# Whose types may be in our API: a new major version of one of these is a new major version of ours.
ALLOWED = {
    "alloc", "core", "std",
    "http", "http_body", "tower_layer", "tower_service", "axum_core", "serde", "serde_core",
    # `Batch::bytes`; http-body's data.
    "bytes",
    # The router of the live page.
    "axum",
    # The collector that an application registers, with feature `prometheus`.
    "prometheus_client",
}
# Derived on nearly everything, so one word at the end of the type's line instead of a line each.
DERIVED = {"Clone", "Copy", "Debug", "Default", "Eq", "Hash", "Ord", "PartialEq", "PartialOrd", "StructuralPartialEq"}


# Of rustdoc's JSON; it changes with the toolchain.
FORMATS = [57]


class Api:
    def __init__(self, data):
        self.index, self.paths, self.crates = data["index"], data["paths"], data["external_crates"]
        self.root, self.lines, self.foreign = data["root"], set(), {}

    def item(self, number):
        return self.index.get(str(number))

    # Types, as text.

    def name(self, path, where):
        known = self.paths.get(str(path["id"]))
        if known and known["crate_id"] != 0:
            crate = self.crates[str(known["crate_id"])]["name"]
            if crate not in ALLOWED:
                self.foreign.setdefault(crate, set()).add(where)
            return "::".join(known["path"][:1] + known["path"][-1:]) if crate not in ("core", "alloc", "std") else known["path"][-1]
        return path["path"].split("::")[-1]

    def args(self, args, where):
        if not args:
            return ""
        if "parenthesized" in args:
            inner = args["parenthesized"]
            output = inner.get("output")
            return "(%s)%s" % (", ".join(self.type(one, where) for one in inner["inputs"]), " -> " + self.type(output, where) if output else "")
        inner = args.get("angle_bracketed") or {"args": [], "constraints": []}
        parts = []
        for one in inner["args"]:
            if "lifetime" in one:
                parts.append(one["lifetime"])
            elif "type" in one:
                parts.append(self.type(one["type"], where))
            elif "const" in one:
                parts.append(one["const"]["expr"])
        for one in inner.get("constraints", []):
            binding = one["binding"]
            if "equality" in binding:
                parts.append("%s = %s" % (one["name"], self.type(binding["equality"].get("type", {"generic": "_"}), where)))
            else:
                parts.append("%s: %s" % (one["name"], self.bounds(binding["constraint"], where)))
        return "<%s>" % ", ".join(parts) if parts else ""

    def bounds(self, bounds, where):
        texts = []
        for one in bounds:
            if "trait_bound" in one:
                bound = one["trait_bound"]
                modifier = "?" if bound.get("modifier") == "maybe" else ""
                texts.append(modifier + self.name(bound["trait"], where) + self.args(bound["trait"].get("args"), where))
            elif "outlives" in one:
                texts.append(one["outlives"])
        return " + ".join(texts)

    def type(self, kind, where):
        if kind is None or kind == "infer":
            return "_"
        tag, inner = next(iter(kind.items()))
        if tag == "resolved_path":
            return self.name(inner, where) + self.args(inner.get("args"), where)
        if tag in ("primitive", "generic"):
            return inner
        if tag == "borrowed_ref":
            return "&%s%s%s" % (inner["lifetime"] + " " if inner.get("lifetime") else "", "mut " if inner["is_mutable"] else "", self.type(inner["type"], where))
        if tag == "tuple":
            return "(%s)" % ", ".join(self.type(one, where) for one in inner)
        if tag == "slice":
            return "[%s]" % self.type(inner, where)
        if tag == "array":
            return "[%s; %s]" % (self.type(inner["type"], where), inner["len"])
        if tag == "impl_trait":
            return "impl " + self.bounds(inner, where)
        if tag == "dyn_trait":
            traits = [self.name(one["trait"], where) + self.args(one["trait"].get("args"), where) for one in inner["traits"]]
            return "dyn " + " + ".join(traits + ([inner["lifetime"]] if inner.get("lifetime") else []))
        if tag == "qualified_path":
            of = inner.get("trait")
            return "<%s%s>::%s" % (self.type(inner["self_type"], where), " as " + self.name(of, where) if of else "", inner["name"])
        if tag == "function_pointer":
            signature = inner["sig"]
            return "fn(%s)%s" % (", ".join(self.type(one[1], where) for one in signature["inputs"]), " -> " + self.type(signature["output"], where) if signature["output"] else "")
        if tag == "raw_pointer":
            return "*" + self.type(inner["type"], where)
        return tag

    def generics(self, generics, where):
        names, conditions = [], []
        for one in generics["params"]:
            kind = one["kind"]
            if "type" in kind:
                if kind["type"].get("is_synthetic"):
                    continue
                bounds = self.bounds(kind["type"]["bounds"], where)
                names.append(one["name"] + (": " + bounds if bounds else ""))
            elif "lifetime" in kind:
                names.append(one["name"])
            else:
                names.append("const " + one["name"])
        for one in generics["where_predicates"]:
            if "bound_predicate" in one:
                predicate = one["bound_predicate"]
                conditions.append("%s: %s" % (self.type(predicate["type"], where), self.bounds(predicate["bounds"], where)))
        return ("<%s>" % ", ".join(names) if names else "", " where " + ", ".join(conditions) if conditions else "")

    def signature(self, function, where):
        names, conditions = self.generics(function["generics"], where)
        inputs = []
        for name, kind in function["sig"]["inputs"]:
            text = self.type(kind, where)
            inputs.append({"Self": "self", "&Self": "&self", "&mut Self": "&mut self"}.get(text, "self: " + text) if name == "self" else "%s: %s" % (name, text))
        output = function["sig"]["output"]
        prefix = "".join(word + " " for word in ("const", "async", "unsafe") if function["header"]["is_" + word])
        return prefix + "fn", "%s(%s)%s%s" % (names, ", ".join(inputs), " -> " + self.type(output, where) if output else "", conditions)

    # Items.

    def add(self, *words):
        self.lines.add("".join(words))

    def visit(self, item, path):
        if item is None:
            return
        tag, inner = next(iter(item["inner"].items()))
        name = item["name"] or ""
        here = path + "::" + name if name else path
        growing = " #[non_exhaustive]" if any("non_exhaustive" in str(one) for one in item["attrs"]) else ""
        if tag == "module":
            if path:
                self.add("mod ", here)
            for number in inner["items"]:
                self.visit(self.item(number), here)
        elif tag == "use":
            target = self.item(inner["id"]) if inner["id"] is not None else None
            if inner["is_glob"] and target:
                for number in next(iter(target["inner"].values()))["items"]:
                    self.visit(self.item(number), path)
            elif target:
                self.visit(dict(target, name=inner["name"]), path)
            else:
                self.add("use ", path, "::", inner["name"], " = ", inner["source"])
        elif tag in ("struct", "enum"):
            names, conditions = self.generics(inner["generics"], here)
            derived = sorted(self.implementations(inner["impls"], here))
            self.add(tag, " ", here, names, conditions, growing, ": " + ", ".join(derived) if derived else "")
            if tag == "enum":
                for number in inner["variants"]:
                    self.visit(self.item(number), here)
            else:
                self.fields(inner["kind"], here)
        elif tag == "variant":
            self.add("variant ", here, growing)
            self.fields(inner["kind"], here)
        elif tag == "struct_field":
            if item["visibility"] in ("public", "default"):
                self.add("field ", here, ": ", self.type(inner, here))
        elif tag == "trait":
            names, conditions = self.generics(inner["generics"], here)
            self.add("trait ", here, names, ": " + self.bounds(inner["bounds"], here) if inner["bounds"] else "", conditions)
            for number in inner["items"]:
                self.visit(self.item(number), here)
        elif tag == "function":
            kind, text = self.signature(inner, here)
            self.add(kind, " ", here, text, " { … }" if inner["has_body"] and "::" in path and self.in_trait(item) else "")
        elif tag == "type_alias":
            self.add("type ", here, self.generics(inner["generics"], here)[0], " = ", self.type(inner["type"], here))
        elif tag == "assoc_type":
            self.add("type ", here, ": " + self.bounds(inner["bounds"], here) if inner["bounds"] else "")
        elif tag in ("constant", "assoc_const", "static"):
            self.add("const ", here, ": ", self.type(inner["type"], here))
        elif tag in ("macro", "proc_macro"):
            self.add("macro ", here)

    def in_trait(self, item):
        return item["visibility"] == "default"

    def fields(self, kind, path):
        if isinstance(kind, dict):
            inner = next(iter(kind.values()))
            numbers = inner["fields"] if isinstance(inner, dict) else [one for one in inner if one is not None]
            for number in numbers:
                self.visit(self.item(number), path)

    def implementations(self, numbers, path):
        """Lists methods and trait implementations; returns the derived traits."""
        for number in numbers:
            item = self.item(number)
            if not item:
                continue
            inner = item["inner"]["impl"]
            if inner["is_synthetic"] or inner["blanket_impl"]:
                continue
            of = inner["trait"]
            if of is None:
                for method in inner["items"]:
                    method = self.item(method)
                    if method and method["visibility"] == "public":
                        self.visit(method, path)
                continue
            name = self.name(of, path)
            if name == "Unpin":
                # Of pin-project-lite, with conditions of its own that say the same as the fields
                # do.
                continue
            if name in DERIVED:
                if name != "StructuralPartialEq":
                    yield name
                continue
            names, conditions = self.generics(inner["generics"], path)
            self.add("impl", names, " ", name, self.args(of.get("args"), path), " for tower_influx::", self.type(inner["for"], path), conditions)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)
    if data["format_version"] not in FORMATS:
        print("format %d of rustdoc's JSON is not one of %s" % (data["format_version"], FORMATS), file=sys.stderr)
        sys.exit(3)
    api = Api(data)
    root = api.item(api.root)
    for number in root["inner"]["module"]["items"]:
        api.visit(api.item(number), root["name"])
    print("\n".join(sorted(api.lines, key=lambda line: (line.split("tower_influx::")[-1], line))))
    for crate, places in sorted(api.foreign.items()):
        print("foreign crate `%s` in the public API, not on the list of public-api.py: %s" % (crate, ", ".join(sorted(places))), file=sys.stderr)
    sys.exit(1 if api.foreign else 0)


main()
