//! The rules of the project that a machine can check. Every message says what to do.

use std::{collections::BTreeSet, fs};

use source::{File, root, rust_files, text_files};

#[path = "support/imports.rs"]
mod imports;
#[path = "support/source.rs"]
mod source;
#[path = "support/type_names.rs"]
mod type_names;

/// A reader can begin anywhere and read downwards: no import of a file leads back to it.
#[test]
fn imports_lead_in_one_direction() {
    let files = imports::file_graph(&rust_files("src"));
    let rooms = imports::room_graph(&files);
    let arrows: usize = rooms.values().map(BTreeSet::len).sum();
    println!("{} rooms, {arrows} arrows, {} files", rooms.len(), files.len());
    let mut wrong = BTreeSet::new();
    for cycle in imports::cycles(&rooms) {
        wrong.insert(format!(
            "these rooms import each other: {}: move what both need into a room below, or pass it as an argument",
            cycle.join(", ")
        ));
    }
    for cycle in imports::cycles(&files) {
        wrong.insert(format!(
            "these files import each other: {}: move what both need into a file of its own",
            cycle.join(", ")
        ));
    }
    report(wrong);
}

/// One name for one thing, also for private types: a reader who searches for a name finds one
/// definition. Associated types do not count, since their name is their trait's.
#[test]
fn each_type_has_a_name_of_its_own() {
    let files: Vec<File> = rust_files("src").into_iter().chain(rust_files("tests/support")).collect();
    let twice = type_names::defined_twice(&files);
    report(
        twice
            .into_iter()
            .map(|(name, files)| {
                format!("`{name}` is defined in {}: name each after what it is", files.join(", "))
            })
            .collect(),
    );
}

#[test]
fn files_are_short_and_say_what_is_inside() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let lines = file.text.lines().count();
        // Tables of test cases may be longer.
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

/// Returns whether a line is too wide, without being code, a table, or one unbreakable word.
#[test]
fn comments_and_pages_have_at_most_100_columns() {
    let mut wrong = BTreeSet::new();
    for file in text_files() {
        let ends_with_one_of = |ends: &[&str]| ends.iter().any(|end| file.path.ends_with(end));
        let slashes = ends_with_one_of(&[".rs", ".mjs"]);
        let hashes = ends_with_one_of(&[".toml", ".yml", ".yaml", ".py", ".sh", "Dockerfile"])
            || file.path.starts_with(".ci/") && file.text.starts_with("#!");
        let (page, mut code) = (file.path.ends_with(".md"), false);
        for (number, line) in file.text.lines().enumerate() {
            let comment = line.trim_start();
            let text = match (slashes, hashes) {
                (true, _) => comment.strip_prefix("//").map(|text| text.trim_start_matches(['/', '!'])),
                (_, true) => comment.strip_prefix('#'),
                _ => page.then_some(line),
            };
            let Some(text) = text.map(str::trim_start) else {
                code = false;
                continue;
            };
            if text.starts_with("```") {
                code = !code;
            }
            let words = text.split('`').step_by(2).collect::<String>();
            let fixed = text.starts_with(['|', '#', '[']) || !words.trim().contains(' ');
            if line.chars().count() > 100 && !code && !fixed {
                wrong.insert(format!("{}:{}: more than 100 columns: wrap it", file.path, number + 1));
            }
        }
    }
    report(wrong);
}

/// Words that no one would search for, and the word to use instead.
const AVOIDED: [(&str, &str); 10] = [
    ("books", "ledger"),
    ("books balance", "every point is accounted for"),
    ("cannot explode", "is bounded"),
    ("hears of", "receives"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("taken for yes", "counts as success"),
    ("the rest goes", "the rest is stored"),
    ("told by", "reported by"),
    ("woken for", "woken by, or alerting"),
];

#[test]
fn texts_use_the_words_of_the_field() {
    let mut wrong = BTreeSet::new();
    let read = |file: &File| {
        let in_room = ["src/", "docs/"].iter().any(|room| file.path.starts_with(room));
        file.path == "README.md" || in_room && !file.path.contains("/tests")
    };
    for file in text_files().into_iter().filter(read) {
        for (number, line) in file.text.lines().enumerate() {
            // Only the comments and string literals of code.
            let prose = match file.path.ends_with(".rs") && !line.trim_start().starts_with("//") {
                true => line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join("\n"),
                false => line.to_owned(),
            };
            let prose = prose.to_lowercase();
            let part_of_word = |one: char| one.is_alphanumeric() || one == '_';
            for (avoided, instead) in AVOIDED {
                let used = prose.match_indices(avoided).any(|(at, _)| {
                    !prose[..at].ends_with(part_of_word)
                        && !prose[at + avoided.len()..].starts_with(part_of_word)
                });
                if used {
                    wrong.insert(format!(
                        "{}:{}: `{avoided}`: write `{instead}` or the like",
                        file.path,
                        number + 1
                    ));
                }
            }
        }
    }
    report(wrong);
}

/// A reader scans first words: "Returns", "Creates", "Sets".
#[test]
fn documentation_of_functions_begins_with_verbs() {
    let (mut all, mut others) = (0, Vec::new());
    for file in rust_files("src").into_iter().filter(|file| !file.path.contains("/tests")) {
        let mut first: Option<String> = None;
        let mut is_test = false;
        for line in file.text.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                first.get_or_insert_with(|| text.trim().to_owned());
                continue;
            }
            if line.starts_with("#[") || line.starts_with("//") {
                is_test |= line.contains("test");
                continue;
            }
            let is_function = line.starts_with("fn ") || line.contains(" fn ");
            if let Some(text) = first.take().filter(|_| is_function && !is_test) {
                all += 1;
                let word = text.split(' ').next().unwrap_or_default();
                let is_verb = word.starts_with(|one: char| one.is_ascii_uppercase())
                    && word.ends_with('s')
                    && !NOUNS.contains(&word);
                if !is_verb {
                    others.push(format!("{}: {text}", file.path));
                }
            }
            is_test = false;
        }
    }
    println!("{} of {all} begin with a verb", all - others.len());
    assert!(
        all > 500 && others.len() * 100 <= all * 15,
        "{} of {all} do not begin with a verb in the third person:\n{}",
        others.len(),
        others.join("\n")
    );
}

/// First words that end like verbs.
const NOUNS: [&str; 8] = ["Always", "Bytes", "Files", "Its", "Lines", "Points", "Seconds", "This"];

/// A table with dead links is worse than none.
#[test]
fn files_that_contributing_names_exist() {
    let mut wrong = BTreeSet::new();
    let page = File::read("CONTRIBUTING.md").text;
    let named: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|path| path.starts_with("src/")).collect();
    for path in &named {
        if !root().join(path).exists() {
            wrong.insert(format!("CONTRIBUTING.md: there is no `{path}`: name the file of today"));
        }
    }
    assert!(named.len() > 20, "only {} were found: adjust this test", named.len());
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
    for file in rust_files("src").into_iter().filter(|file| file.path != "src/delivery/sink/influxdb2.rs") {
        let code = file.code();
        for foreign in ["influxdb2::", "reqwest_for_influxdb2"] {
            // A module of this crate with that name is allowed.
            let named = code.match_indices(foreign).any(|(at, _)| {
                let before = code[..at].trim_end();
                let ours = file.path == "src/delivery/sink/mod.rs" && before.ends_with("use");
                !(before.ends_with("::") || ours)
            });
            if named {
                wrong.insert(format!(
                    "{}: names `{foreign}`: only src/delivery/sink/influxdb2.rs may",
                    file.path
                ));
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

/// A check that only a developer's machine runs is forgotten, and a misspelt one runs nowhere.
#[cfg(unix)]
#[test]
fn the_workflow_runs_every_section() {
    let list = std::process::Command::new("bash").args([".ci/run", "list"]).current_dir(root()).output();
    let list = String::from_utf8(list.expect("bash runs").stdout).expect("text");
    let sections: Vec<&str> = list.lines().collect();
    assert!(sections.len() > 15, "only {} sections: adjust this test", sections.len());
    let workflow = File::read(".github/workflows/ci.yml").text;
    let mut asked = Vec::new();
    for line in workflow.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        match (line.strip_prefix("sections: "), line.strip_prefix("bash .ci/run ")) {
            (Some(names), _) => asked.extend(names.split(' ')),
            (_, Some(name)) => asked.push(name.trim_matches('"')),
            _ => {}
        }
    }
    let mut wrong = BTreeSet::new();
    let mut missing: BTreeSet<&str> = sections.iter().copied().collect();
    for name in asked {
        // As `.ci/run` has it: a whole name, or a part of several.
        let is_whole = sections.contains(&name);
        let runs: Vec<_> = sections
            .iter()
            .filter(|section| if is_whole { **section == name } else { section.contains(name) })
            .collect();
        if runs.is_empty() {
            wrong.insert(format!("the workflow runs `{name}`, which is no section of .ci/run"));
        }
        runs.into_iter().for_each(|section| _ = missing.remove(section));
    }
    wrong.extend(missing.iter().map(|section| format!("no job of the workflow runs `{section}` of .ci/run")));
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
