//! Compiles a program from a document as a user who pastes it does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Compiles the text against this crate, axum and tokio, as built by cargo for the examples.
pub(crate) fn compile(text: &str, directory: &Path) -> PathBuf {
    let (source, program) = (directory.join("main.rs"), directory.join("pasted"));
    std::fs::write(&source, text).expect("a writable directory");
    let mut compiler = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"));
    compiler.args(["--edition", "2024", "--crate-type", "bin", "--out-dir"]).arg(directory);
    compiler.args(["--crate-name", "pasted"]).arg(&source);
    for (name, library) in libraries(&["tower_influx", "axum", "tokio"]) {
        let folder = library.parent().expect("the folder of the libraries");
        compiler.arg("-L").arg(format!("dependency={}", folder.display()));
        compiler.arg("--extern").arg(format!("{name}={}", library.display()));
    }
    let output = compiler.output().expect("the compiler starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Returns where cargo has put these libraries. Builds those that are missing.
fn libraries(names: &[&str]) -> Vec<(String, PathBuf)> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "minimal", "--message-format", "json"]);
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("text");
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let libraries = artifacts.filter_map(|artifact| {
        let name = artifact["target"]["name"].as_str()?.to_owned();
        let is_wanted = names.contains(&name.as_str()) && artifact["target"]["kind"][0] == "lib";
        let files = artifact["filenames"].as_array()?.iter().filter_map(Value::as_str);
        let library = files.filter(|_| is_wanted).find(|file| file.ends_with(".rlib"))?.into();
        Some((name, library))
    });
    let libraries: Vec<_> = libraries.collect();
    assert_eq!(libraries.len(), names.len(), "{libraries:?}");
    libraries
}
