//! What happens when nothing happens: how often the kernel wakes a thread of the process.

use std::{collections::BTreeMap, fs, process, thread, time::Duration};

use tokio::runtime::Runtime;
use tower_influx::{
    Monitor, Settings,
    licensing::{BoxError, LicenseState, Licensing},
    settings::{InfluxClient, Storage},
};
use tower_influx_benches::{Discard, ledger, monitor_to, request, routes, server::Discarding};

pub(crate) const ROWS: &[(&str, fn())] = &[
    ("a runtime without a monitor", || drop((Runtime::new().expect("a runtime"), watch()))),
    ("a monitor after traffic, a sink of the application's own", own_sink),
    ("the same, with the licence check", license_check),
    ("a monitor after traffic, client `influxdb2`", || client(InfluxClient::Influxdb2)),
    ("a monitor after traffic, client `reqwest`", || client(InfluxClient::Reqwest)),
];

fn own_sink() {
    let runtime = Runtime::new().expect("a runtime");
    idle(&runtime, &monitor_to(&runtime, Discard::default()), 0);
}

fn license_check() {
    let runtime = Runtime::new().expect("a runtime");
    let monitor = monitor_to(&runtime, Discard::default());
    let check = async || Ok::<_, BoxError>(LicenseState::new(100));
    let license =
        runtime.block_on(Licensing::new(check).spawn_checked(&monitor)).expect("settings are right");
    idle(&runtime, &monitor, 1);
    drop(license);
}

fn client(client: InfluxClient) {
    let runtime = Runtime::new().expect("a runtime");
    let server = Discarding::start();
    let mut settings = Settings::new("bench");
    settings.storage = Storage::Influx;
    settings.influx.url = format!("http://127.0.0.1:{}", server.port);
    settings.influx.bucket = "bench".to_owned();
    settings.influx.client = client;
    let monitor = {
        let _entered = runtime.enter();
        Monitor::start(settings).expect("settings are right")
    };
    idle(&runtime, &monitor, 0);
}

fn idle(runtime: &Runtime, monitor: &Monitor, further: u64) {
    let app = routes().layer(monitor.layer()).with_state(());
    (0..REQUESTS).for_each(|_| request(&app, "/version"));
    let report = runtime.block_on(monitor.flush()).expect("the flusher runs");
    assert_eq!(report.waiting, 0, "not everything could be written: {report}");
    watch();
    ledger::close(runtime, monitor, Some(REQUESTS + further));
}

/// Prints the wake-ups of all threads but this one, which sleeps.
fn watch() {
    // What was begun ends, idle connections are closed.
    thread::sleep(SETTLE);
    let before = switches();
    thread::sleep(Duration::from_secs(SECONDS));
    let after = switches();
    let added: u64 =
        after.iter().map(|(thread, count)| count - before.get(thread).copied().unwrap_or_default()).sum();
    println!("{added}");
}

/// How often each thread has waited, which is as often as it was woken.
fn switches() -> BTreeMap<String, u64> {
    let own = process::id().to_string();
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    tasks
        .filter_map(|task| {
            let task = task.expect("a task");
            let thread = task.file_name().into_string().expect("a number");
            // It may have ended meanwhile.
            let text = fs::read_to_string(task.path().join("status")).ok()?;
            let count = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            (thread != own).then(|| (thread, count.trim().parse().expect("a number")))
        })
        .collect()
}

pub(crate) const SECONDS: u64 = 60;
const SETTLE: Duration = Duration::from_secs(65);
const REQUESTS: u64 = 20_000;
