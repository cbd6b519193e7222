//! Decides which live tests can run here, and prints which cannot.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
};

/// A program that live tests need, and the Debian package that contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

pub(crate) const INFLUXD: Program = Program { name: "influxd", package: "influxdb" };
pub(crate) const VICTORIA_METRICS: Program =
    Program { name: "victoria-metrics", package: "victoria-metrics" };
pub(crate) const NGINX: Program = Program { name: "nginx", package: "nginx-light" };
pub(crate) const OPENSSL: Program = Program { name: "openssl", package: "openssl" };
pub(crate) const CHROMIUM: Program = Program { name: "chromium", package: "chromium" };

pub(crate) const PROMETHEUS: Program = Program { name: "prometheus", package: "prometheus" };
pub(crate) const PROMTOOL: Program = Program { name: "promtool", package: "prometheus" };

pub(crate) const ALL: [Program; 7] =
    [INFLUXD, VICTORIA_METRICS, NGINX, OPENSSL, CHROMIUM, PROMETHEUS, PROMTOOL];

impl Program {
    /// Returns the path of the program, if it is installed.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        // Debian installs nginx in a folder that is only in the `PATH` of root.
        env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
            .map(|folder| folder.join(self.name))
            .find(|file| file.is_file())
    }

    pub(crate) fn path(self) -> PathBuf {
        self.find().unwrap_or_else(|| panic!("{} is not installed: ask `ready` first", self.name))
    }
}

/// Whether a test can run that needs these programs. If not, it says so, and fails where live tests
/// are compulsory.
///
/// ```ignore
/// if !live::ready("name_of_the_test", &[INFLUXD, NGINX]) {
///     return;
/// }
/// ```
pub(crate) fn ready(test: &str, programs: &[Program]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| program.find().is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let list: Vec<_> =
        missing.iter().map(|one| format!("{} (Debian package {})", one.name, one.package)).collect();
    assert!(!required(), "{test} needs {}, and TOWER_INFLUX_LIVE=required", list.join(", "));
    say(&format!("NOT RUN: {test}: {} not found", list.join(", ")));
    false
}

/// Whether live tests that cannot run must fail.
pub(crate) fn required() -> bool {
    env::var("TOWER_INFLUX_LIVE").is_ok_and(|value| value == "required")
}

/// Prints to stderr directly: libtest captures what passing tests print by macros.
pub(crate) fn say(line: &str) {
    writeln!(io::stderr(), "{line}").expect("stderr is open");
}
