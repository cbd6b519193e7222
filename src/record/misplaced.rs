//! Warnings about a layer, or about data, in the wrong place.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::stats::DETACHED;

/// Warns if the requests of a service have no routes. Most likely the layer is at a place that no
/// router has matched yet.
#[derive(Debug, Default)]
pub(crate) struct Unmatched {
    any_matched: AtomicBool,
    count: AtomicU64,
}

impl Unmatched {
    #[inline]
    pub(crate) fn look(&self, is_matched: bool) {
        if self.any_matched.load(Ordering::Relaxed) {
            return;
        }
        if is_matched {
            return self.any_matched.store(true, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == UNMATCHED_BEFORE_WARNING {
            tracing::warn!(
                target: "tower_influx",
                "routes unknown, the first {UNMATCHED_BEFORE_WARNING} requests all had none: their points cannot \
                 be told apart; with axum, add the layer with `Router::layer` after the routes; without axum, or \
                 where only fallbacks and nested services answer, name routes with `MonitoringLayer::route`"
            );
        }
    }
}

/// Warns about a layer inside another one of its monitor: its classifier and body tracking have no
/// effect.
#[derive(Debug, Default)]
pub(crate) struct IgnoredOptions {
    warned: AtomicBool,
}

impl IgnoredOptions {
    #[cold]
    pub(crate) fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                "classifier or body tracking of an inner layer ignored: the outer layer of the same monitor \
                 records the request; move them to the outer layer (logged once)"
            );
        }
    }
}

/// Counts data extracted where no monitored request runs. It counts for the whole process, since it
/// belongs to no monitor.
pub(crate) fn count_detached() {
    DETACHED.add(1);
    static WARNED: AtomicBool = AtomicBool::new(false);
    static TOLD: AtomicBool = AtomicBool::new(false);
    if DISABLED.load(Ordering::Relaxed) {
        if !TOLD.swap(true, Ordering::Relaxed) {
            tracing::info!(
                target: "tower_influx",
                "`MonitoringData` extracted outside a monitored request, with a disabled monitor in this \
                 process: if the handler is inside the layer of that monitor, nothing is wrong; otherwise put \
                 the handler inside a layer"
            );
        }
        return;
    }
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: "tower_influx",
            "`MonitoringData` extracted outside a monitored request: what is added to it is lost, since the \
             handler is outside the layer or in a spawned task; put the handler inside the layer, extract it \
             before the spawn, or use `MonitoringLayer::insert_data`"
        );
    }
}

/// Notes that a monitor of this process is disabled. Data outside a request is then expected, and
/// needs no warning.
pub(crate) fn note_disabled() {
    DISABLED.store(true, Ordering::Relaxed);
}

static DISABLED: AtomicBool = AtomicBool::new(false);

const UNMATCHED_BEFORE_WARNING: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_log::logged;

    #[test]
    fn a_service_without_routes_is_warned_once_and_one_with_a_route_never() {
        let log = |looks: &[(bool, u32)]| {
            let unmatched = Unmatched::default();
            logged(|| {
                let looks = looks.iter().flat_map(|(is_matched, times)| (0..*times).map(|_| *is_matched));
                looks.for_each(|is_matched| unmatched.look(is_matched));
            })
        };
        assert_eq!(log(&[(false, 99)]), "");
        assert_eq!(log(&[(false, 99), (true, 1), (false, 500)]), "");
        let log = [100, 1_000].map(|times| log(&[(false, times)]));
        assert!(
            log.iter().all(|log| log.lines().count() == 1 && log.contains("`MonitoringLayer::route`")),
            "{log:?}"
        );
    }

    /// A single test, since both count for the whole process.
    #[test]
    fn data_outside_of_a_request_is_counted_and_logged_once_as_a_warning_unless_a_monitor_is_disabled() {
        let before = DETACHED.count();
        let enabled = logged(|| (0..3).for_each(|_| count_detached()));
        note_disabled();
        let disabled = logged(|| (0..3).for_each(|_| count_detached()));
        assert!(DETACHED.count() >= before + 6);
        for (log, level) in [(enabled, "WARN"), (disabled, "INFO")] {
            assert!(log.lines().count() == 1 && log.contains(level), "{log}");
        }
    }
}
