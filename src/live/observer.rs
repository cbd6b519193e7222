//! Updates the model from the stream of batches, off the request path.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::{self, AbortHandle},
    time::{MissedTickBehavior, interval},
};

use super::{history::StoredFiles, model::Model, rollups::RollupReader, snapshot::PageSnapshot};
use crate::{delivery::batch::Batch, licensing::LicenseWatch, monitor::Monitor, settings::Storage};

/// The shared state of the page's handlers. Its tasks end when it is dropped.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) monitor: Monitor,
    pub(super) license: Option<LicenseWatch>,
    model: Arc<SharedModel>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug)]
struct SharedModel(Mutex<Model>);

impl Observer {
    pub(super) fn start(monitor: Monitor, license: Option<LicenseWatch>) -> Self {
        let rollups = monitor.rollup().zip(monitor.rollup_boundaries());
        let rollups = rollups.map(|(totals, boundaries)| RollupReader::new(boundaries, totals));
        let counts_rollups = rollups.is_some();
        let model = Arc::new(SharedModel(Mutex::new(Model::new(now(), rollups))));
        // Before the subscription: otherwise a line could be read twice.
        let history = file_directory(&monitor).map(|directory| StoredFiles::find(&directory));
        let observed = monitor.observe();
        let looks = observed.as_ref().filter(|_| counts_rollups).map(|(runtime, _)| {
            runtime.spawn(read_rollups(monitor.clone(), Arc::clone(&model))).abort_handle()
        });
        let task = observed.map(|(runtime, batches)| {
            if let Some(history) = history {
                let (model, service) = (Arc::clone(&model), monitor.service());
                runtime.spawn_blocking(move || read_history(history, &model, &service));
            }
            runtime.spawn(observe(batches, Arc::clone(&model))).abort_handle()
        });
        let tasks = task.into_iter().chain(looks).collect();
        Self { monitor, license, model, tasks }
    }

    pub(super) fn snapshot(&self) -> PageSnapshot {
        let (stats, time) = (self.monitor.stats(), now());
        let license = self.license.as_ref().and_then(LicenseWatch::latest);
        let mut model = self.model.lock();
        model.read_rollups(time, || self.monitor.rollup());
        PageSnapshot {
            stats,
            service: self.monitor.service(),
            time,
            license: license.as_deref().cloned(),
            last_10_minutes: model.last_10_minutes(time),
            last_12_hours: model.last_12_hours(time),
            latest_errors: model.latest_errors.iter().cloned().collect(),
            observed: model.observed,
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl SharedModel {
    fn lock(&self) -> MutexGuard<'_, Model> {
        // A panic may leave a line half counted, which must not keep the page from being shown.
        self.0.lock()
    }
}

/// Reads the rollups at intervals. Requests must be counted in the chart's bar of their time, even
/// while nobody loads the page.
async fn read_rollups(monitor: Monitor, model: Arc<SharedModel>) {
    let mut ticks = interval(ROLLUP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        model.lock().read_rollups(now(), || monitor.rollup());
    }
}

async fn observe(mut batches: broadcast::Receiver<Batch>, model: Arc<SharedModel>) {
    loop {
        let batch = match batches.recv().await {
            Ok(batch) => batch,
            Err(RecvError::Lagged(missed)) => {
                model.lock().observed.missed_batches += missed;
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let mut lines = batch.lines().peekable();
        while lines.peek().is_some() {
            {
                let (mut model, now) = (model.lock(), now());
                lines.by_ref().take(LINES_AT_ONCE).for_each(|line| model.observe(line, now));
            }
            // A full batch takes milliseconds, so requests that wait for this thread run first.
            task::yield_now().await;
        }
    }
}

fn read_history(history: StoredFiles, model: &SharedModel, service: &str) {
    let mut waiting = Vec::with_capacity(LINES_AT_ONCE);
    let take = |lines: &mut Vec<Vec<u8>>| {
        let (mut model, now) = (model.lock(), now());
        lines.drain(..).for_each(|line| model.observe_from_file(&line, now, service));
    };
    let read = history.read(HISTORY_BYTES, |line| {
        waiting.push(line.to_vec());
        if waiting.len() == LINES_AT_ONCE {
            take(&mut waiting);
        }
    });
    take(&mut waiting);
    if let Err(error) = read {
        tracing::warn!(
            target: "tower_influx",
            %error,
            "history of the live page is incomplete: a file of points from before this start cannot be read, and \
             no point is lost; make the file readable"
        );
    }
}

/// Returns the directory of the points, if they go to files.
fn file_directory(monitor: &Monitor) -> Option<std::path::PathBuf> {
    let directory = monitor
        .settings(|settings| (settings.storage == Storage::File).then(|| settings.file.directory.clone()))?;
    // A sink of the application replaces the one of the settings.
    (monitor.stats().delivery.sink == format!("files in {}", directory.display())).then_some(directory)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Takes some tens of microseconds.
const LINES_AT_ONCE: usize = 256;
/// Short compared with a bar of the chart.
const ROLLUP_INTERVAL: Duration = Duration::from_secs(1);
/// About a hundred thousand points, which are read in less than a second.
const HISTORY_BYTES: u64 = 16 * 1024 * 1024;
