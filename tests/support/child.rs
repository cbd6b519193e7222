//! Runs a part of a test in its own process, which can be killed. The process is the test program
//! itself, started to run one ignored test.

use std::{env, fs, future::Future, path::Path, process::Command};

use super::process::Process;

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    log: std::path::PathBuf,
}

impl Child {
    /// Starts the ignored test of that name, and passes it the script.
    pub(crate) fn start(role: &str, script: serde_json::Value, directory: &Path) -> Self {
        let file = directory.join("script.json");
        fs::write(&file, script.to_string()).expect("a writable directory");
        let mut command = Command::new(env::current_exe().expect("the path of this test"));
        command.args(["--ignored", "--nocapture", "--exact", role]);
        command.env(ROLE, role).env(SCRIPT, file).env("RUST_BACKTRACE", "0");
        let process = Process::start("child", &mut command, directory);
        Self { process, log: directory.join("child.log") }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends SIGKILL to the child.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Fails the test if the child has ended by itself.
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.process.ended() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            panic!("the child has ended by itself, {status}: {log}");
        }
    }
}

/// Runs the body of an ignored test, unless this process is not the child with that role.
pub(crate) fn run<F: Future<Output = ()>>(role: &str, function: impl FnOnce(serde_json::Value) -> F) {
    if env::var(ROLE).is_ok_and(|asked| asked == role) {
        let file = env::var(SCRIPT).expect("the script of the child");
        let text = fs::read_to_string(file).expect("the script of the child");
        let script = serde_json::from_str(&text).expect("the script of the child");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(function(script));
    }
}

const ROLE: &str = "TOWER_INFLUX_CHILD_ROLE";
const SCRIPT: &str = "TOWER_INFLUX_CHILD_SCRIPT";
