//! Derives the import graph of `src` from the code: which file uses names of which other file.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::File;

/// Edges from a file to the files whose names it uses, by path.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Returns the graph of files. A re-exported name counts for the file that defines it.
pub(crate) fn file_graph(files: &[File]) -> Graph {
    let modules = Modules::new(files);
    let mut graph = Graph::new();
    for (module, (path, code)) in &modules.0 {
        let edges = graph.entry(path.clone()).or_default();
        for used in paths(code) {
            if let Some(target) = modules.definition(module, &used, 0)
                && target != *path
            {
                edges.insert(target);
            }
        }
    }
    graph
}

/// Returns the graph of rooms, the folders of `src`. Each part of `delivery` is a room of its own.
pub(crate) fn room_graph(files: &Graph) -> Graph {
    let mut graph = Graph::new();
    for (from, targets) in files {
        let from = room_of(from);
        let edges = graph.entry(from.clone()).or_default();
        edges.extend(targets.iter().map(|target| room_of(target)).filter(|room| *room != from));
    }
    graph
}

/// Returns the room of a file: `delivery/sink` for `src/delivery/sink/file.rs`, `error` for
/// `src/error.rs`.
fn room_of(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let parts: Vec<&str> = path.split('/').collect();
    let depth = if parts[0] == "delivery" { 2 } else { 1 };
    parts[..depth.min(parts.len())].join("/")
}

/// Returns the groups of nodes that reach each other, each sorted. Without a cycle the result is
/// empty.
pub(crate) fn cycles(graph: &Graph) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|node| (node, reachable(graph, node))).collect();
    let groups: BTreeSet<Vec<String>> = graph
        .keys()
        .filter(|node| reach[node].contains(node))
        .map(|node| {
            let both =
                reach[node].iter().filter(|other| reach.get(*other).is_some_and(|back| back.contains(node)));
            both.map(|other| (*other).clone()).collect()
        })
        .collect();
    groups.into_iter().collect()
}

fn reachable<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = graph.get(from).into_iter().flatten().collect();
    while let Some(node) = next.pop() {
        if found.insert(node) {
            next.extend(graph.get(node).into_iter().flatten());
        }
    }
    found
}

/// Modules by name, such as `delivery::sink`, with the path and the code of their file.
struct Modules(BTreeMap<String, (String, String)>);

impl Modules {
    fn new(files: &[File]) -> Self {
        let modules = files.iter().filter(|file| !is_test(&file.path)).filter_map(|file| {
            let name = file.path.strip_prefix("src/")?.trim_end_matches(".rs").replace('/', "::");
            let name = if name == "lib" { String::new() } else { name };
            Some((name.trim_end_matches("::mod").to_owned(), (file.path.clone(), file.code())))
        });
        Self(modules.collect())
    }

    /// Returns the file that defines what `path` names if `module` uses it. Returns `None` for
    /// names of other crates.
    fn definition(&self, module: &str, path: &str, depth: usize) -> Option<String> {
        let mut base: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
        let mut rest: Vec<&str> = path.split("::").collect();
        match rest[0] {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                while rest.get(1) == Some(&"super") {
                    base.pop();
                    rest.remove(0);
                }
                base.pop();
            }
            first => {
                base.push(first);
                self.0.get(&base.join("::"))?;
            }
        }
        rest.remove(0);
        while let Some(part) = rest.first() {
            base.push(part);
            if !self.0.contains_key(&base.join("::")) {
                base.pop();
                break;
            }
            rest.remove(0);
        }
        let name = base.join("::");
        let (file, code) = self.0.get(&name)?;
        // The path names a module itself, not an item in it.
        let Some(item) = rest.first() else { return (name != module).then(|| file.clone()) };
        if depth < 8 {
            for exported in paths_of(code, true) {
                if exported.rsplit("::").next() == Some(item) {
                    return self.definition(&name, &exported, depth + 1);
                }
            }
        }
        Some(file.clone())
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/properties/")
}

/// Returns every path that is used, in the code and in `use` items, whose groups are expanded.
fn paths(code: &str) -> BTreeSet<String> {
    let mut found = paths_of(code, false);
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            // The path in `pub(in …)` says who may see an item, and is not a use.
            let visibility = code[..at].ends_with("(in ");
            if !visibility
                && !before.is_some_and(|one| one.is_alphanumeric() || matches!(one, '_' | ':' | '$'))
            {
                expand("", &code[at..], &mut found);
            }
        }
    }
    found
}

/// Returns the paths of all `use` items, or only of those that re-export.
fn paths_of(code: &str, exports: bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        let exported = line.starts_with("pub");
        if (line.is_empty() || exported) && exported == exports {
            expand("", code[at + "use ".len()..].trim_start(), &mut found);
        }
    }
    found
}

fn expand(prefix: &str, rest: &str, found: &mut BTreeSet<String>) {
    let path: String =
        rest.chars().take_while(|one| one.is_alphanumeric() || matches!(one, '_' | ':' | '*')).collect();
    let after = &rest[path.len()..];
    if !after.starts_with('{') {
        found.insert(format!("{prefix}{path}").trim_end_matches("::self").trim_end_matches("::*").to_owned());
        return;
    }
    let (mut depth, mut start) = (0, 1);
    for (at, one) in after.char_indices() {
        match one {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (one == ',' && depth == 1) || depth == 0 {
            let item = after[start..at].trim();
            if !item.is_empty() {
                expand(&format!("{prefix}{path}"), item, found);
            }
            start = at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}
