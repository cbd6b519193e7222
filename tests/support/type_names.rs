//! Finds the names of types that are defined more than once.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{File, strip};

/// Returns the files that define a type of each name that is defined several times.
pub(crate) fn defined_twice(files: &[File]) -> BTreeMap<String, Vec<String>> {
    let mut defined = BTreeMap::<String, Vec<String>>::new();
    for file in files {
        let code = strip(&file.text);
        for name in code.lines().filter_map(defined_type) {
            defined.entry(name.to_owned()).or_default().push(file.path.clone());
        }
    }
    // Two variants of one type, for a feature or a platform, are in one file.
    defined.retain(|_, files| files.iter().collect::<BTreeSet<_>>().len() > 1);
    defined
}

/// Returns the name that a line defines by `struct`, `enum`, `trait`, or `type` other than an
/// associated one.
fn defined_type(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub") || *word == "in");
    let mut kind = words.next()?;
    // A path follows `pub(in`.
    while kind.ends_with(')') {
        kind = words.next()?;
    }
    let is_type =
        matches!(kind, "struct" | "enum" | "trait" | "union") || kind == "type" && !line.starts_with(' ');
    let name = words.next().filter(|_| is_type)?;
    name.split(|one: char| !one.is_alphanumeric() && one != '_').next().filter(|name| !name.is_empty())
}

#[test]
fn definitions_are_found_in_any_form() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("a.rs", "pub(in crate::a) struct One(u8);\nenum Two<T> {}\nimpl X {\n    type Four = ();\n}\n"),
        file(
            "b.rs",
            "mod tests {\n    struct One {}\n    pub trait Two {}\n}\n// struct Three;\ntype Four = ();\n",
        ),
        file(
            "c.rs",
            "struct Three;\nlet x = \"struct Two\";\npub(crate) type Four = ();\nstruct Five;\nstruct Five;\n",
        ),
    ];
    let found = defined_twice(&files);
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["Four", "One", "Two"]);
    assert_eq!(found["One"], ["a.rs", "b.rs"]);
}
