//! Every link between pages must work in both places: in files, and on docs.rs, where it leads to
//! an item. Every message of the log must be explained in the pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use base64ct::{Base64, Encoding};

#[test]
fn links_between_pages_lead_somewhere() {
    let mut wrong = BTreeSet::new();
    for page in pages() {
        let text = read(&page);
        let folder = page.parent().expect("a folder");
        for target in inline_targets(&text).into_iter().chain(definitions(&text).into_values()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { page.clone() } else { folder.join(file) };
            if !root().join(&file).exists() {
                wrong.insert(format!("{}: {target} is not there", page.display()));
            } else if !anchor.is_empty() && !anchors(&read(&file)).contains(anchor) {
                wrong.insert(format!("{}: {target} is no heading", page.display()));
            }
        }
    }
    report(wrong);
}

#[test]
fn links_by_a_label_are_defined() {
    let mut wrong = BTreeSet::new();
    for page in pages() {
        let text = read(&page);
        let defined = definitions(&text);
        for label in labels(&text) {
            if !defined.contains_key(&label) {
                wrong.insert(format!("{}: [{label}] is not defined at its end", page.display()));
            }
        }
    }
    report(wrong);
}

/// Inline links to files cannot be redirected on docs.rs, where there are no files.
#[test]
fn links_to_files_lead_to_items_on_docs_rs() {
    let mut instead = definitions(&read(Path::new("src/docs/links.md")));
    instead.extend(definitions(&read(Path::new("src/docs/with_live.md"))));
    assert!(
        definitions(&read(Path::new("src/docs/without_live.md")))
            .keys()
            .all(|label| instead.contains_key(label))
    );
    let mut wrong = BTreeSet::new();
    for page in pages().into_iter().filter(|page| !page.starts_with("docs/grafana")) {
        let text = read(&page);
        for target in inline_targets(&text) {
            if !target.contains("://") && !target.starts_with('#') {
                wrong.insert(format!(
                    "{}: ({target}): write [{target}], and define it at the end of the page and in src/docs/links.md",
                    page.display()
                ));
            }
        }
        for (label, target) in definitions(&text) {
            let image = label == "docs/live.png";
            if !target.contains("://") && !instead.contains_key(&label) && !image {
                wrong.insert(format!("src/docs/links.md does not define [{label}] of {}", page.display()));
            }
        }
    }
    report(wrong);
}

/// crates.io shows the README without the files beside it: its links lead to docs.rs, as those in
/// `src/docs/links.md` do.
#[test]
fn links_of_the_readme_lead_to_docs_rs() {
    let mut items = definitions(&read(Path::new("src/docs/links.md")));
    items.extend(definitions(&read(Path::new("src/docs/with_live.md"))));
    let manifest = read(Path::new("Cargo.toml"));
    let excluded = manifest.lines().find(|line| line.starts_with("exclude = ")).expect("what is left out");
    let text = read(Path::new("README.md"));
    let mut wrong = BTreeSet::new();
    for target in inline_targets(&text).into_iter().filter(|target| !target.contains("://")) {
        wrong.insert(format!("README.md: ({target}) leads nowhere on crates.io"));
    }
    for (label, target) in definitions(&text) {
        let is_right = match target.strip_prefix("https://docs.rs/crate/tower-influx/latest/source/") {
            // The file must be in the repository, and in the package.
            Some(file) => {
                let folder = file.split('/').next().unwrap_or(file);
                file.starts_with(&label) && root().join(file).is_file() && !excluded.contains(folder)
            }
            None => items.get(&label).is_some_and(|item| target == on_docs_rs(item)),
        };
        if !is_right {
            wrong.insert(format!("README.md: [{label}]: {target} is not what src/docs/links.md has"));
        }
    }
    report(wrong);
}

/// Returns the address of a module, or of [`Settings`], which is the only type among the links.
fn on_docs_rs(item: &str) -> String {
    let path = item.trim_start_matches("crate::").replace("::", "/");
    let page = if path == "Settings" { "struct.Settings.html".to_owned() } else { path + "/" };
    format!("https://docs.rs/tower-influx/latest/tower_influx/{page}")
}

/// The image is embedded in the page, so that it is shown even before the crate is published.
#[test]
fn the_screenshot_is_the_same_on_docs_rs() {
    let text = read(Path::new("src/docs/live.png.md"));
    let (label, url) = text.trim().split_once(": ").expect("a definition");
    assert_eq!(label, "[docs/live.png]");
    let image = url.strip_prefix("data:image/png;base64,").expect("an image");
    assert!(
        Base64::decode_vec(image).ok() == fs::read(root().join("docs/live.png")).ok(),
        "src/docs/live.png.md is not docs/live.png: write it anew, in Base64"
    );
}

/// Checks names such as `Monitor::shutdown`, wherever a page names an item of this crate.
#[test]
fn items_that_pages_name_exist() {
    let list = root().join(".ci/public-api.txt");
    // The list is not in the package.
    let Ok(list) = fs::read_to_string(list) else { return };
    let words = list.split(|one: char| !(one.is_alphanumeric() || one == '_' || one == ':'));
    let public: BTreeSet<&str> = words.map(|word| word.trim_end_matches(':')).collect();
    let (mut wrong, mut named) = (BTreeSet::new(), 0);
    for page in pages() {
        let text: String = read(&page).split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
        for code in text.split('`').skip(1).step_by(2) {
            let path = code.split(['(', ' ']).next().unwrap_or(code);
            let Some((type_name, _)) = path.split_once("::") else { continue };
            // Any module may contain it.
            let within = |name: &str| {
                let (name, inside) = (format!("tower_influx::{name}"), format!("::{name}"));
                public.contains(name.as_str())
                    || public.iter().any(|one| one.ends_with(&inside) && one.starts_with("tower_influx::"))
            };
            if !within(type_name) {
                continue;
            }
            named += 1;
            if !within(path) {
                wrong.insert(format!("{}: there is no `{path}`", page.display()));
            }
        }
    }
    assert!(named > 25, "only {named} were found: adjust this test");
    report(wrong);
}

#[test]
fn every_line_of_the_log_is_explained() {
    let page = read(Path::new("docs/delivery.md"));
    let (_, log) = page.split_once("\n## The log\n").expect("the chapter");
    let cells = log.lines().filter_map(|line| line.strip_prefix('|')?.split('|').nth(1)).map(str::trim);
    let explained: Vec<&str> =
        cells.flat_map(|cell| cell.split("; ")).map(|one| one.trim_matches('`')).collect();
    let said = |message: &str| {
        explained.iter().any(|beginning| message.replace('`', "").starts_with(&beginning.replace('`', "")))
    };
    let (mut wrong, mut messages) = (BTreeSet::new(), 0);
    for (file, message) in source_files(&root().join("src")).iter().flat_map(|file| log_lines(file)) {
        messages += 1;
        if !message.starts_with('{') && !said(&message.replace("{UNMATCHED_BEFORE_WARNING}", "100")) {
            wrong.insert(format!("{file}: docs/delivery.md does not explain: {message}"));
        }
    }
    assert!(messages > 40, "only {messages} lines were found: adjust this test");
    report(wrong);
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().flat_map(|folder| source_files(folder))).collect()
}

/// Returns the messages of a file's events: the first text after the target that is not the value
/// of a field.
fn log_lines(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).expect("readable").replace("\\\n", "\n");
    let mut lines = Vec::new();
    for part in text.split("target: \"tower_influx\"").skip(1) {
        let message = part.split('"').skip(1).step_by(2).find(|one| one.contains(' ') && one.len() > 20);
        let message = message.unwrap_or_else(|| panic!("{}: an event without a message", file.display()));
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.push((file.display().to_string(), message));
    }
    lines
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("docs/grafana/README.md")];
    for entry in fs::read_dir(root().join("docs")).expect("docs/") {
        let name = PathBuf::from("docs").join(entry.expect("an entry").file_name());
        if name.extension().is_some_and(|extension| extension == "md") {
            pages.push(name);
        }
    }
    assert!(pages.len() > 10);
    pages
}

/// Returns the text without code.
fn prose(text: &str) -> String {
    let without_blocks: String = text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    without_blocks.split('`').step_by(2).collect::<Vec<_>>().join("code")
}

/// Returns the targets in `](target)`.
fn inline_targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// Returns the labels in `[label]` and `[text][label]`, which have no target of their own.
fn labels(text: &str) -> BTreeSet<String> {
    let body: Vec<_> = text.lines().filter(|line| definition(line).is_none()).collect();
    let body = body.join("\n");
    let mut labels = BTreeSet::new();
    let without_blocks: String = body.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    for (at, _) in without_blocks.match_indices('[') {
        let Some((label, rest)) = without_blocks[at + 1..].split_once(']') else { continue };
        let code = label.matches('`').count() % 2 == 1;
        if !rest.starts_with(['(', '[']) && label.contains(".md") && !code {
            labels.insert(label.to_owned());
        }
    }
    labels
}

fn definitions(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(definition).collect()
}

fn definition(line: &str) -> Option<(String, String)> {
    let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((label.to_owned(), target.to_owned()))
}

/// Returns the anchors of headings, named as GitHub and rustdoc do.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.split("\n```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|one| one.is_alphanumeric() || " -_".contains(*one))
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(slug).collect()
}

fn report(wrong: BTreeSet<String>) {
    let list: Vec<_> = wrong.into_iter().collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}
