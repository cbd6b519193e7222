//! The house rules that a machine can check. Every message says what to do.

use std::{collections::BTreeSet, fs};

use source::{File, imports, reexported_names, room_of, root, rust_files, text_files};

#[path = "support/source.rs"]
mod source;

/// What each room of `src` may import beside itself and the leaves. A change here is a change of the design: say why in
/// `docs/DESIGN.md`. `room::part` allows one part of a room only.
///
/// No room on the request's side (down to `intake`) reaches one that knows a network or a disk.
const IMPORTS: &[(&str, &[&str])] = &[
    ("point", &[]),
    ("line_protocol", &["point", "field_types", "tag_values"]),
    ("batch", &[]),
    ("buffer", &["point", "line_protocol", "batch"]),
    ("filter", &["point"]),
    ("docs", &[]),
    ("fingerprints", &[]),
    ("field_types", &["point", "fingerprints"]),
    ("tag_values", &["point", "fingerprints"]),
    ("timer", &["extract"]),
    ("extract", &["point", "buffer", "intake", "middleware", "timer"]),
    ("middleware", &["point", "buffer", "extract", "filter", "intake", "line_protocol"]),
    (
        "intake",
        &[
            "point",
            "buffer",
            "extract",
            "field_types",
            "filter",
            "line_protocol",
            "middleware",
            "tag_values",
            "timer",
        ],
    ),
    ("sink", &["batch", "disk", "line_protocol::parse", "point"]),
    ("spool", &["batch", "disk"]),
    ("flusher", &["batch", "buffer", "disk", "sink", "spool", "line_protocol::parse"]),
    ("licensing", &["point", "monitor"]),
    // From `sink` only what its states and reasons are called.
    ("live", &["batch", "disk", "line_protocol::parse", "licensing", "monitor", "point", "sink"]),
];

/// Rooms that every other may import, and what they need themselves.
const LEAVES: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("clock", &[]),
    ("secret", &[]),
    ("settings", &["point::schema"]),
    ("shard", &[]),
    ("sharded_arc", &[]),
    ("sync", &[]),
    // The books count by the reasons that sinks give.
    ("stats", &["sink"]),
];

/// Files and their faults: a leaf that only the rooms with a disk may import.
const DISK: (&str, &[&str]) = ("disk", &[]);

/// The one room that wires the others together.
const WIRING: &str = "monitor";

#[test]
fn rooms_import_only_what_the_design_allows() {
    let names = reexported_names();
    let mut wrong = BTreeSet::new();
    for file in rust_files("src") {
        let Some(room) = room_of(&file.path) else { continue };
        if room == WIRING {
            continue;
        }
        let allowed = IMPORTS
            .iter()
            .chain(LEAVES)
            .chain([&DISK])
            .find(|(name, _)| *name == room)
            .map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            wrong.insert(format!(
                "{}: room `{room}` is not in the import table of tests/tidy.rs: add it",
                file.path
            ));
            continue;
        };
        for path in imports(&file.code()) {
            let path = if path.starts_with(char::is_uppercase) {
                match names.get(path.split("::").next().unwrap_or(&path)) {
                    Some(room) => room.clone(),
                    None => {
                        wrong.insert(format!(
                            "{}: `crate::{path}` is not re-exported by lib.rs in one block",
                            file.path
                        ));
                        continue;
                    }
                }
            } else {
                path
            };
            let first = path.split("::").next().unwrap_or(&path);
            let leaf = LEAVES.iter().any(|(leaf, _)| *leaf == first);
            let ours = allowed
                .iter()
                .any(|one| *one == first || path == *one || path.starts_with(&format!("{one}::")));
            if first != room && !leaf && !ours {
                wrong.insert(format!(
                    "{}: room `{room}` must not import `{path}`: pass what it needs as an argument or a type of a room \
                     below, or change the table and the design",
                    file.path
                ));
            }
        }
    }
    report(wrong);
}

#[test]
fn no_import_steps_out_of_its_room_sideways() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src") {
        let depth = file.path.matches('/').count();
        let root_of_room = depth == 1 || (depth == 2 && file.path.ends_with("/mod.rs"));
        let code = file.code();
        let inline_modules = code.lines().any(|line| line.contains("mod ") && line.ends_with('{'));
        if root_of_room && code.contains("super::") && !inline_modules
            || depth == 2 && code.contains("super::super::")
        {
            wrong.insert(format!(
                "{}: write `crate::room::…` instead of a `super::` that leaves the room",
                file.path
            ));
        }
    }
    report(wrong);
}

#[test]
fn files_are_short_and_say_what_is_inside() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let lines = file.text.lines().count();
        // Tables of cases may be longer.
        let most = if file.path.starts_with("src/") { 350 } else { 400 };
        if lines > most {
            wrong.insert(format!("{}: {lines} lines, at most {most}: split it by concept", file.path));
        }
        let said = file.text.starts_with("//!") || file.text.starts_with("#![doc = include_str!(");
        if !said && file.path.starts_with("src/") {
            wrong.insert(format!("{}: begin with a `//!` line that says what is inside", file.path));
        }
    }
    report(wrong);
}

#[test]
fn lib_has_no_code() {
    let mut wrong = BTreeSet::new();
    let code = File::read("src/lib.rs").code();
    for statement in code.replace(['\n', '\t'], " ").split(';').map(str::trim).filter(|text| !text.is_empty())
    {
        let mut rest = statement;
        while rest.starts_with("#[") || rest.starts_with("#![") {
            rest =
                rest.split_once(']').map_or("", |(_, rest)| rest).trim_start_matches([')', ']']).trim_start();
        }
        let kind = ["mod ", "pub mod ", "pub use "].iter().any(|kind| rest.starts_with(kind));
        if !rest.is_empty() && (!kind || rest.contains("mod ") && rest.contains('{')) {
            wrong.insert(format!(
                "src/lib.rs: `{rest}`: only modules and `pub use` live there: move it into a room"
            ));
        }
    }
    report(wrong);
}

#[test]
fn library_code_neither_panics_by_unwrap_nor_prints() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src") {
        let code = file.code();
        for (pattern, remedy) in [
            (".unwrap()", "return an error, or `expect(\"why it cannot fail\")`"),
            ("println!", "use `tracing` with target `tower_influx`, or return the text"),
            ("print!(", "use `tracing` with target `tower_influx`, or return the text"),
            ("dbg!", "remove it"),
            ("todo!", "do it"),
            ("unimplemented!", "do it"),
            ("unsafe ", "find the safe way"),
        ] {
            if code.contains(pattern) {
                wrong.insert(format!("{}: holds `{pattern}`: {remedy}", file.path));
            }
        }
    }
    for file in rust_files("src").into_iter().chain(rust_files("tests")).chain(rust_files("examples")) {
        for pattern in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")] {
            if file.text.contains(pattern) {
                wrong.insert(format!(
                    "{}: holds `{pattern}`: do it, or file an issue and say so in the docs",
                    file.path
                ));
            }
        }
    }
    report(wrong);
}

#[test]
fn only_one_file_knows_the_client_crate() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src").into_iter().filter(|file| file.path != "src/sink/influxdb2.rs") {
        let code = file.code();
        for foreign in ["influxdb2::", "reqwest_for_influxdb2"] {
            // Our own module of that name is fine.
            let named = code.match_indices(foreign).any(|(at, _)| {
                let before = code[..at].trim_end();
                let ours = file.path == "src/sink/mod.rs" && before.ends_with("use");
                !(before.ends_with("::") || ours)
            });
            if named {
                wrong.insert(format!("{}: names `{foreign}`: only src/sink/influxdb2.rs may", file.path));
            }
        }
    }
    report(wrong);
}

#[test]
fn no_file_names_a_machine() {
    let mut wrong = BTreeSet::new();
    for file in text_files() {
        for path in
            [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tmp", "/target")]
        {
            if file.text.contains(path) {
                wrong.insert(format!(
                    "{}: names `{path}`: a path of one machine has no place in the project",
                    file.path
                ));
            }
        }
    }
    report(wrong);
}

#[test]
fn features_are_documented_in_place() {
    let mut wrong = BTreeSet::new();
    let manifest = File::read("Cargo.toml");
    let section = manifest
        .text
        .split("[features]")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .unwrap_or_default();
    let lines: Vec<_> = section.lines().filter(|line| !line.trim().is_empty()).collect();
    for (number, line) in lines.iter().enumerate() {
        let Some((name, _)) = line.split_once(" = [") else { continue };
        // Two features may share a comment.
        let documented = lines[number.saturating_sub(2)..number].iter().any(|line| line.starts_with('#'));
        if name != "default" && !documented {
            wrong.insert(format!(
                "Cargo.toml: feature `{name}` has no comment above it: say what it brings and costs"
            ));
        }
    }
    assert!(lines.len() > 2, "Cargo.toml: the section [features] was not found: adjust this test");
    report(wrong);
}

#[test]
fn what_a_release_needs_is_there() {
    let mut wrong = BTreeSet::new();
    for path in ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "deny.toml", "Cargo.lock"] {
        if !root().join(path).exists() {
            wrong.insert(format!("{path} is missing: write it"));
        }
    }
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    if !changelog.contains("## [Unreleased]") && !changelog.contains(&format!("## [{version}]")) {
        wrong.insert(format!("CHANGELOG.md: neither [Unreleased] nor [{version}]: write what changed"));
    }
    report(wrong);
}

fn report(wrong: BTreeSet<String>) {
    let list: Vec<_> = wrong.into_iter().collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}
