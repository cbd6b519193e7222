//! Loads a page in a real, headless browser.

use std::process::{Command, Stdio};

use super::live::CHROMIUM;

/// The result of loading a page in the browser.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// The document as the browser holds it, serialized again.
    pub(crate) document: String,
    /// Its console messages: refused styles, missing files, errors of scripts.
    pub(crate) complaints: Vec<String>,
}

/// Loads the page and lets it settle. Blocks until the browser has started, which takes seconds.
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
    // Other lines are about the browser itself, such as a missing message bus, not about the page.
    let complaints = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Rendered { document: String::from_utf8_lossy(&output.stdout).into_owned(), complaints }
}

impl Rendered {
    /// Returns the text of the element with this id, which must contain only text.
    pub(crate) fn text_of(&self, id: &str) -> &str {
        let start = self.document.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no element {id}"));
        let inner = self.document[start..].split_once('>').map_or("", |(_, rest)| rest);
        inner.split('<').next().unwrap_or_default()
    }
}
