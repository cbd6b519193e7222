//! Points of a background job, with or without a service: the trait `Point` for a type of the
//! application, and `DataPoint` for a point that needs no type.
//!
//! `cargo run --example own_points -- FOLDER SECONDS` measures a folder repeatedly. Without
//! arguments it measures the current folder every 5 seconds. Stop it by Ctrl-C, and look at
//! `monitoring-data/*.lp`. The measurement `folders` has one point per run, with the number of
//! files and bytes. The measurement `failures` has one point per failed run. Use a folder that does
//! not exist to see one.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Parser;
use tokio::{task::JoinHandle, time};
use tower_influx::{DataPoint, Monitor, Point, Settings, point::Value};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

/// Measures a folder repeatedly.
#[derive(Parser)]
#[command(name = "own_points")]
struct Arguments {
    /// The folder to measure
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The interval in seconds
    #[arg(default_value_t = 5.0)]
    seconds: f64,
}

/// The result of one run.
struct Measurement {
    folder: String,
    files: u64,
    bytes: u64,
    took: Duration,
}

/// Without `time`, a point gets the time of recording, made unique. So no two runs overwrite each
/// other.
impl Point for Measurement {
    fn measurement(&self) -> &str {
        "folders"
    }

    /// Tags are what queries group by. Each distinct value is a series in the database, so use few
    /// folders, and never the names of files.
    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit("folder", &self.folder);
    }

    /// Fields are the measured values. A field keeps the type of its first value.
    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        visit("files", self.files.into());
        visit("bytes", self.bytes.into());
        visit("seconds", self.took.as_secs_f64().into());
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { folder, seconds } = Arguments::parse();
    let every = Duration::try_from_secs_f64(seconds)?.max(Duration::from_millis(1));

    let monitor = Monitor::start(Settings::new("own_points"))?;
    let job = tokio::spawn(measure_again_and_again(monitor.clone(), folder, every));
    shutdown_signal().await;
    // Stop the job first: points that it records after the shutdown would be refused and counted.
    stop(job).await;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

async fn measure_again_and_again(monitor: Monitor, folder: PathBuf, every: Duration) {
    let name = folder.display().to_string();
    let mut ticks = time::interval(every);
    loop {
        ticks.tick().await;
        let began = Instant::now();
        let job = folder.clone();
        match tokio::task::spawn_blocking(move || measure(&job)).await {
            Ok(Ok((files, bytes))) => {
                monitor.record(&Measurement { folder: name.clone(), files, bytes, took: began.elapsed() });
                println!("{name}: {files} files of {bytes} bytes");
            }
            Ok(Err(error)) => {
                // The kind has few distinct values, so it can be a tag. The message can be any
                // text, so it is a field.
                let point = DataPoint::new("failures")
                    .with_tag("job", "folders")
                    .with_tag("kind", format!("{:?}", error.kind()))
                    .with_field("message", error.to_string());
                monitor.record(&point);
                println!("{name}: {error}");
            }
            Err(panicked) => println!("{name}: {panicked}"),
        }
    }
}

fn measure(folder: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let about = entry?.metadata()?;
        if about.is_file() {
            files += 1;
            bytes += about.len();
        }
    }
    Ok((files, bytes))
}

async fn stop(job: JoinHandle<()>) {
    job.abort();
    let _ = job.await;
}
