//! Load by `wrk`.

use std::{fs, process::Command};

/// What `wrk` saw.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) throughput: f64,
    /// Microseconds: p50, p99, p99.9.
    pub(crate) percentiles: [f64; 3],
}

/// Runs `wrk` for so many seconds, with the headers that curl sends.
///
/// # Panics
///
/// Where any request failed.
pub(crate) fn load(port: u16, path: &str, seconds: u64) -> Load {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = directory.path().join("report.lua");
    fs::write(&script, REPORT).expect("a writable temporary directory");
    let output = Command::new("wrk")
        .args([
            "--threads",
            "1",
            "--connections",
            CONNECTIONS,
            "--duration",
            &format!("{seconds}s"),
            "--script",
        ])
        .arg(&script)
        .args(["--header", "User-Agent: curl/8.5.0", "--header", "Accept: */*"])
        .arg(format!("http://127.0.0.1:{port}{path}"))
        .output()
        .expect("wrk is installed: Debian's package wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        text.lines().find_map(|line| line.strip_prefix("report: ")).unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().expect("numbers")).collect();
    let [requests, duration, errors, p50, p99, p999] = numbers[..] else { panic!("{line}") };
    assert!(errors == 0.0, "requests have failed:\n{text}");
    Load { requests, throughput: requests / (duration / 1e6), percentiles: [p50, p99, p999] }
}

const CONNECTIONS: &str = "32";
const REPORT: &str = r#"
done = function(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format("report: %d %d %d %d %d %d\n", summary.requests, summary.duration, failed,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;
