//! A real browser without a window, and what it makes of a page.

use std::process::{Command, Stdio};

use super::live::CHROMIUM;

/// What the browser has made of a page.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// The document as the browser holds it, written out again.
    pub(crate) document: String,
    /// What it has complained of: refused styles, missing files, errors of scripts.
    pub(crate) complaints: Vec<String>,
}

/// Loads the page and lets it settle. Blocks for as long as a browser needs to start, which is
/// seconds.
pub(crate) fn load(url: &str) -> Rendered {
    let profile = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120"])
        .arg(CHROMIUM.path())
        .args([
            "--headless",
            // Tests run in containers, as root, where the browser's own sandbox cannot be set up.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .expect("the browser starts");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the browser failed with {}: {log}", output.status);
    // The browser's own troubles, such as a missing message bus, are not the page's.
    let complaints = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Rendered { document: String::from_utf8_lossy(&output.stdout).into_owned(), complaints }
}

impl Rendered {
    /// The text of the element with this id, which holds no other.
    pub(crate) fn text_of(&self, id: &str) -> &str {
        let start = self.document.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no element {id}"));
        let inner = self.document[start..].split_once('>').map_or("", |(_, rest)| rest);
        inner.split('<').next().unwrap_or_default()
    }
}
