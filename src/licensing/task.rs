//! The task behind a [`LicenseWatch`](super::LicenseWatch): follows the schedule, runs the check,
//! records the point.

use std::{any::Any, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{self, Instant},
};

use super::{
    BoxError, LicenseCheck, LicensingPoint,
    failures::Failures,
    point,
    schedule::Schedule,
    state::{CheckedLicense, LicenseState, LicenseStatus},
    wall_clock::WallClock,
};
use crate::clock::{self, MonotonicInstant};

/// A request for a check that begins after it.
pub(crate) type CheckRequest = oneshot::Sender<Arc<CheckedLicense>>;

/// Records the points, until it is closed.
pub(crate) trait RecordPoint: Send + Sync + 'static {
    fn record(&self, point: &LicensingPoint);

    fn is_closed(&self) -> bool;
}

/// The state of the task. It ends when the recorder is closed, or when no handle is left to request
/// a check.
pub(crate) struct Task<C> {
    pub(crate) check: Arc<C>,
    pub(crate) service: Arc<str>,
    pub(crate) recorder: Arc<dyn RecordPoint>,
    pub(crate) clock: WallClock,
    pub(crate) schedule: Schedule,
    pub(crate) failures: Failures,
    pub(crate) timeout: Duration,
    pub(crate) requests: mpsc::Receiver<CheckRequest>,
    pub(crate) latest: watch::Sender<Option<Arc<CheckedLicense>>>,
}

impl<C: LicenseCheck> Task<C> {
    pub(crate) async fn run(mut self) {
        while !self.recorder.is_closed() {
            let now = self.clock.now();
            // Evaluated in every iteration, not only when the timer fires: requests in quick
            // succession would otherwise delay it for ever.
            if self.schedule.due(now) {
                self.failures.start_over();
                self.check(None, false).await;
                continue;
            }
            let retry_at = self.failures.retry_at();
            if retry_at.is_some_and(|retry_at| retry_at <= Instant::now()) {
                self.check(None, true).await;
                continue;
            }
            let wake_at = Instant::now() + self.schedule.pause(now);
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) if !self.recorder.is_closed() => self.check(Some(request), false).await,
                    _ => return,
                },
                () = time::sleep_until(retry_at.map_or(wake_at, |retry_at| retry_at.min(wake_at))) => {}
            }
        }
    }

    /// Runs one check for all requests made before it began, so that many requests at once cost one
    /// check. A retry that fails like the attempt before it records no point: it adds no
    /// information.
    async fn check(&mut self, first: Option<CheckRequest>, is_retry: bool) {
        let mut requests = Vec::from_iter(first);
        while let Ok(request) = self.requests.try_recv() {
            requests.push(request);
        }
        let checked_at = self.clock.now();
        let state = match outcome(&self.check, self.timeout).await {
            Ok(state) => {
                self.failures.ran(&state, checked_at);
                state
            }
            Err(failure) => self.failures.failed(&failure, checked_at),
        };
        let license = Arc::new(CheckedLicense::new(state, checked_at.into()));
        let stamp = clock::stamp(MonotonicInstant::now()).into();
        for key in point::reserved_extras(&license) {
            tracing::warn!(
                target: "tower_influx",
                key,
                "tag or field of the licence check left out: the schema has one of this name; choose another \
                 name"
            );
        }
        let changed = self.latest.borrow().as_ref().is_none_or(|latest| latest.state() != license.state());
        if changed || !is_retry || !requests.is_empty() {
            let point = LicensingPoint::new(Arc::clone(&self.service), Arc::clone(&license), stamp);
            self.recorder.record(&point);
        }
        self.latest.send_if_modified(|latest| {
            *latest = Some(Arc::clone(&license));
            changed
        });
        if changed {
            log(&license);
        }
        for request in requests {
            // The requester may be gone.
            let _ = request.send(Arc::clone(&license));
        }
    }
}

/// Runs the check in a task of its own. A panic then ends that task instead of the watch. A check
/// that never yields still times out if the runtime has another thread.
///
/// # Errors
///
/// Returns why the check could not run.
async fn outcome<C: LicenseCheck>(check: &Arc<C>, timeout: Duration) -> Result<LicenseState, String> {
    let check = Arc::clone(check);
    let mut running = AbortOnDrop(tokio::spawn(async move { check.check().await }));
    match time::timeout(timeout, &mut running.0).await {
        Ok(Ok(Ok(state))) => Ok(state),
        Ok(Ok(Err(error))) => Err(format!("the licence check failed: {}", chain(&error))),
        Ok(Err(error)) => Err(match error.try_into_panic() {
            Ok(panic) => format!("the licence check panicked: {}", panic_message(&*panic)),
            Err(_) => "the licence check was cancelled".to_owned(),
        }),
        Err(_) => Err(format!("the licence check gave no answer within {timeout:?}")),
    }
}

/// A check that times out, or whose watch is dropped, must not continue: otherwise further checks
/// would pile up.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn chain(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        // Many errors already print their source.
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = error.source();
    }
    text
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

fn log(license: &CheckedLicense) {
    let days_left = license.state().days_left();
    match license.status() {
        LicenseStatus::Ok => {
            tracing::info!(target: "tower_influx", days_left, "licence check passed without warnings");
        }
        LicenseStatus::Warning => tracing::warn!(
            target: "tower_influx",
            days_left,
            warnings = license.state().warnings().join("; "),
            "licence check reports warnings: they are stored in the measurement `licensing`; renew the licence"
        ),
        LicenseStatus::Error => tracing::error!(
            target: "tower_influx",
            days_left,
            errors = license.state().errors().join("; "),
            "licence check reports errors: they are stored in the measurement `licensing`, and requests are \
             still recorded; replace the licence or correct the check"
        ),
    }
}
