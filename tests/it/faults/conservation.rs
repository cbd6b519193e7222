//! A minute of load with permanent faults.

use std::{collections::BTreeSet, env, fs, time::Duration};

use tokio::time::{Instant, sleep};
use tower_influx::{
    Monitor,
    settings::{SpoolMode, SpoolSettings},
};

use super::{Auditor, BUCKET, probe_until_well, wait_for};
use crate::{
    stored::{Way, influx_behind_nginx},
    support::{
        influx::Influx,
        live::{self, INFLUXD, NGINX},
        nginx::{Fault, Nginx},
        numbered::{difference, record, stored},
    },
};

/// The duration of the faults. `TOWER_INFLUX_FAULT_SECONDS` sets a longer soak test.
fn duration() -> Duration {
    let seconds = env::var("TOWER_INFLUX_FAULT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// Four monitors at once under the same faults. Two keep points in memory, one of them without
/// nginx; one spools on failure, and one spools ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_minute_of_faults_everything_accepted_is_stored() {
    if !live::ready("after_a_minute_of_faults_everything_accepted_is_stored", &[INFLUXD, NGINX]) {
        return;
    }
    let (mut influx, mut nginx) = influx_behind_nginx().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let measurement = ["memory", "direct", "on_failure", "ahead"];
    let monitors: Vec<_> = measurement
        .iter()
        .map(|name| {
            let way = match *name {
                "memory" => Way::Influxdb2,
                "direct" => Way::Direct,
                _ => Way::Http,
            };
            let mut settings = way.settings(&influx, &nginx);
            // Faults are shorter than in production, and so are the timeouts.
            settings.influx.timeout = Duration::from_millis(700);
            settings.spool = match *name {
                "memory" | "direct" => None,
                mode => {
                    let mut spool = SpoolSettings::new(directory.path().join(mode));
                    spool.mode = if mode == "ahead" { SpoolMode::Ahead } else { SpoolMode::OnFailure };
                    Some(spool)
                }
            };
            Monitor::start(settings).expect("the settings are good")
        })
        .collect();
    let auditors: Vec<_> = monitors.iter().map(Auditor::watch).collect();

    let end = Instant::now() + duration();
    let producers: Vec<_> = monitors
        .iter()
        .zip(measurement)
        .map(|(monitor, measurement)| tokio::spawn(produce(monitor.clone(), measurement, end)))
        .collect();
    let faults = break_everything(&mut influx, &mut nginx, end).await;

    let mut recorded = Vec::new();
    for producer in producers {
        recorded.push(producer.await.expect("the producer ends"));
    }
    for auditor in auditors {
        auditor.stop().await;
    }
    for ((monitor, measurement), recorded) in monitors.iter().zip(measurement).zip(recorded) {
        let healed = Instant::now();
        // Ends the pause, which may be as long as a minute after several 503 in a row.
        probe_until_well(monitor).await;
        wait_for(
            monitor,
            &format!("{measurement}: the end of the backlog"),
            PATIENCE + duration(),
            |stats| stats.ledger.buffered + stats.ledger.in_flight + stats.ledger.spooled == 0,
        )
        .await;
        let drained = healed.elapsed();
        let report = monitor.shutdown(Duration::from_secs(10)).await;
        let stats = monitor.stats();
        let expected: BTreeSet<_> = (0..recorded).collect();
        let found = stored(&influx, BUCKET, measurement).await;
        live::say(&format!(
            "{measurement}: recorded {recorded}, stored {}, {report}; {faults}; drained in {drained:?}, shut down in {:?}",
            found.len(),
            healed.elapsed()
        ));
        assert_eq!(report.accepted, recorded as u64, "nothing was refused: {stats:?}");
        assert_eq!((report.rejected, report.dropped), (0, 0), "nothing was lost: {stats:?}");
        assert_eq!(
            report.written,
            report.accepted + report.recovered,
            "everything was written once the faults had stopped: {stats:?}"
        );
        assert!(found == expected, "{measurement}: {}; {stats:?}", difference(&expected, &found));
        assert!(stats.balances(), "{stats:?}");
    }
}

/// Records bursts of random size at random moments, about 1,000 points a second. Returns how many.
async fn produce(monitor: Monitor, measurement: &'static str, end: Instant) -> i64 {
    let mut number = 0;
    while Instant::now() < end {
        let burst = fastrand::i64(1..40);
        record(&monitor, measurement, number..number + burst);
        number += burst;
        sleep(Duration::from_millis(fastrand::u64(1..40))).await;
    }
    number
}

/// Injects random faults for random times, one after the other. None is left when it returns.
async fn break_everything(influx: &mut Influx, nginx: &mut Nginx, end: Instant) -> String {
    let seed = env::var("TOWER_INFLUX_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    live::say(&format!("faults with TOWER_INFLUX_SEED={seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut count = 0;
    let mut next_look = Instant::now();
    while Instant::now() < end {
        if Instant::now() >= next_look {
            live::say(&format!("{:?} to go: {}", end - Instant::now(), resources()));
            next_look += duration().max(Duration::from_secs(40)) / 4;
        }
        let pause = Duration::from_millis(random.u64(200..1000));
        match random.u32(..12) {
            0 | 1 => {
                influx.process().pause();
                sleep(pause).await;
                influx.process().resume();
            }
            2 => {
                influx.kill();
                sleep(pause).await;
                influx.restart().await;
            }
            3 => {
                nginx.stop();
                sleep(pause).await;
                nginx.resume_service().await;
            }
            4 => {
                nginx.process().pause();
                sleep(pause).await;
                nginx.process().resume();
            }
            5 => broken(nginx, Fault::Close, pause).await,
            6..=10 => {
                let status = [429, 500, 502, 503, 504][random.usize(..5)];
                broken(nginx, Fault::Status(status), pause).await;
            }
            // No fault for a moment, so that some writes succeed.
            _ => sleep(pause).await,
        }
        count += 1;
        sleep(Duration::from_millis(random.u64(0..300))).await;
    }
    format!("{count} faults")
}

async fn broken(nginx: &Nginx, fault: Fault, pause: Duration) {
    nginx.set_fault(fault);
    sleep(pause).await;
    nginx.heal();
}

/// Returns the resources that must not grow in a soak test.
fn resources() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    format!("{resident}, {files} open files")
}

const PATIENCE: Duration = Duration::from_secs(60);
