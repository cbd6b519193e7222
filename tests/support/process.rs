//! Runs a server as a child process that never outlives its test, and finds free ports for it.

use std::{
    fs::File,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use tokio::time::sleep;

/// A running program in its own process group. It is killed when this is dropped, and also when the
/// test's process dies.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    watchdog: Child,
    paused: bool,
}

impl Process {
    /// Starts `command`, and writes its output to `directory/name.log`.
    pub(crate) fn start(name: &str, command: &mut Command, directory: &Path) -> Self {
        let log = File::options().create(true).append(true).open(directory.join(format!("{name}.log")));
        let log = log.expect("the directory of the server is writable");
        let child = command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let watchdog = watch(child.id(), directory);
        Self { name: name.to_owned(), child, watchdog, paused: false }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, named without `SIG`, to the whole group.
    pub(crate) fn signal(&mut self, signal: &str) {
        send(signal, self.child.id());
        self.paused = signal == "STOP" || self.paused && signal != "CONT";
    }

    /// Sends SIGSTOP: the kernel still accepts connections, but nothing answers.
    pub(crate) fn pause(&mut self) {
        self.signal("STOP");
    }

    /// Sends SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.signal("CONT");
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Sends SIGKILL, and waits until the process has ended.
    pub(crate) fn kill(&mut self) {
        send("KILL", self.child.id());
        self.child.wait().expect("a child that was killed ends");
    }

    /// Sends SIGTERM, and waits until the process has ended by itself.
    pub(crate) async fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(within).await
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child is known") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not end within {within:?}", self.name);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the exit status, or `None` while the process runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child is known")
    }

    /// Returns the resident memory in bytes, from `/proc`.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            send("KILL", self.child.id());
            let _ = self.child.wait();
        }
        // The watchdog reads this line and exits: another process may soon have the same id.
        drop(self.watchdog.stdin.take().map(|mut stdin| std::io::Write::write_all(&mut stdin, b"done\n")));
        let _ = self.watchdog.wait();
    }
}

/// Kills the group and removes the directory if the test's process dies without having dropped its
/// servers. The pipe then closes, and the shell reads the end of its input.
fn watch(group: u32, directory: &Path) -> Child {
    Command::new("sh")
        .args([
            "-c",
            "read -r done && exit; kill -s KILL -- \"-$1\"; sleep 0.2; rm -rf -- \"$2\"",
            "watchdog",
        ])
        .arg(group.to_string())
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Not in the test's group: otherwise Ctrl-C would end the watchdog before it has cleaned
        // up.
        .process_group(0)
        .spawn()
        .expect("a shell starts")
}

/// Uses the shell's own `kill`: the standard library can send only SIGKILL, and not to groups.
fn send(signal: &str, group: u32) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"-$2\"", "kill", signal, &group.to_string()])
        .stderr(Stdio::null())
        .status();
    status.expect("a shell starts");
}

/// Returns a port that is free now, and that no other test of this process gets.
///
/// It is below the range from which the system takes ports for outgoing connections. A server that
/// is killed and started again therefore finds its port still free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..PORTS {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        // Processes that run at the same time begin at different ports.
        let offset = (std::process::id() as u16).wrapping_mul(251).wrapping_add(count) % PORTS;
        let port = FIRST_PORT + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST_PORT} and {}", FIRST_PORT + PORTS);
}

const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
