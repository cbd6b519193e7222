//! Runs every example as a user does: as a process that is called over the network and ended by
//! SIGTERM.

use std::{fs, path::Path, process::Command};

use crate::support::example::program;

mod context;
mod custom_sink;
mod grpc;
mod luna_licenses;
mod outage;
mod own_points;
mod services;
// The example consists of tests, so they run here, too.
#[allow(dead_code, reason = "its `main` is run as a process")]
#[path = "../../../examples/testing.rs"]
mod testing;

#[test]
fn every_example_is_tested_and_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let files = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).expect("a folder of the project");
        entries.map(|entry| entry.expect("a readable entry").path()).collect::<Vec<_>>()
    };
    let tests: String = files("tests/it/examples")
        .iter()
        .chain(&[root.join("tests/it/licensing.rs")])
        .map(|file| text(file))
        .collect();
    let readme = text(&root.join("README.md"));
    // Folders hold what several examples share.
    for file in files("examples").into_iter().filter(|file| file.is_file()) {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(tests.contains(&format!("\"{name}\"")), "no test runs the example `{name}`");
        assert!(
            readme.contains(&format!("examples/{name}.rs")),
            "the README does not tell of the example `{name}`"
        );
        let says = text(&file);
        assert!(
            says.starts_with("//! ") && says.contains(&format!("cargo run --example {name}")),
            "`{name}` does not say how to run it"
        );
    }
}

#[test]
fn command_lines_explain_themselves() {
    for name in
        ["axum_app", "custom_sink", "frozen", "issue_license", "luna_licenses", "outage", "own_points"]
    {
        let run = |argument: &str| {
            let output = Command::new(program(name)).arg(argument).output().expect("it runs");
            (
                output.status.success(),
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            )
        };
        let (succeeded, help) = run("--help");
        assert!(succeeded && help.contains(&format!("Usage: {name} ")), "{name}: {help}");
        let (succeeded, complaint) = run("--no-such-option");
        assert!(!succeeded && complaint.contains("'--no-such-option'"), "{name}: {complaint}");
    }
}
