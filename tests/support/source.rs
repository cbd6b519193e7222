//! Reads the project's own source for `tests/tidy.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text file of the project.
pub(crate) struct File {
    /// From the root of the project, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// Returns the code without comments, the text of string literals, and the test module at the
    /// end.
    pub(crate) fn code(&self) -> String {
        // A test module in its own file.
        if self.path.ends_with("/tests.rs") || self.path.contains("/tests/") {
            return String::new();
        }
        let text = self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(&self.text);
        strip(text)
    }
}

/// Removes line comments, block comments and string literals, and keeps line breaks. It is exact
/// enough for formatted Rust.
pub(crate) fn strip(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let (mut code, mut at) = (String::with_capacity(text.len()), 0);
    let starts = |at: usize, what: &str| {
        what.chars().enumerate().all(|(offset, one)| bytes.get(at + offset) == Some(&one))
    };
    while at < bytes.len() {
        if starts(at, "//") {
            while at < bytes.len() && bytes[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            while at < bytes.len() && !starts(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if bytes[at] == '"' {
            let hashes = code.chars().rev().take_while(|one| *one == '#').count();
            let raw = code.trim_end_matches('#').ends_with('r');
            at += 1;
            let end: String =
                std::iter::once('"').chain(std::iter::repeat_n('#', if raw { hashes } else { 0 })).collect();
            while at < bytes.len() && !starts(at, &end) {
                at += if bytes[at] == '\\' && !raw { 2 } else { 1 };
            }
            at += end.len();
            code.push_str("\"\"");
        } else if starts(at, "'\"'") || starts(at, "'\\\"'") {
            at += if bytes[at + 1] == '\\' { 4 } else { 3 };
        } else {
            code.push(bytes[at]);
            at += 1;
        }
    }
    code
}

pub(crate) fn rust_files(folder: &str) -> Vec<File> {
    text_files()
        .into_iter()
        .filter(|file| file.path.starts_with(&format!("{folder}/")) && file.path.ends_with(".rs"))
        .collect()
}

pub(crate) fn text_files() -> Vec<File> {
    let (mut folders, mut files) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the project's folders are readable") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // `.git` is a folder, or in a worktree a file that contains a path of the machine.
            if name == ".git" {
                continue;
            }
            let skipped =
                ["artifacts", "corpus", "monitoring-data", "node_modules", "proptest-regressions", "target"];
            if path.is_dir() {
                if !skipped.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path =
                    path.strip_prefix(root()).unwrap_or(Path::new("")).to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
