//! Warnings of a layer, or of data, that is in the wrong place.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::stats::DETACHED;

/// Warns when a service's requests have no routes: the layer is then most likely in a place where
/// no router was yet.
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
                "the first {UNMATCHED_BEFORE_WARNING} requests all had no route, so their points cannot be told apart: with axum \
                 add the layer by `Router::layer` after the routes; where only fallbacks and nested services answer, as with files, \
                 and without axum, name routes with `MonitoringLayer::route`"
            );
        }
    }
}

/// Warns of a layer inside of another one of its monitor, whose classifier and body tracking have
/// no effect.
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
                "a layer has a classifier or body tracking and is inside of another layer of its monitor, where both have no \
                 effect: the outer layer records the request; move them there (said once)"
            );
        }
    }
}

/// Counts data taken where no monitored request runs: in the whole process, since none of its
/// monitors can be blamed.
pub(crate) fn count_detached() {
    DETACHED.add(1);
    static WARNED: AtomicBool = AtomicBool::new(false);
    static TOLD: AtomicBool = AtomicBool::new(false);
    if DISABLED.load(Ordering::Relaxed) {
        if !TOLD.swap(true, Ordering::Relaxed) {
            tracing::info!(
                target: "tower_influx",
                "MonitoringData was taken where no monitored request is running: a monitor of this process is disabled, which \
                 explains it if the handler is inside of its layer; otherwise the handler is outside of every layer"
            );
        }
        return;
    }
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: "tower_influx",
            "MonitoringData was taken where no monitored request is running, so what is added to it goes nowhere: the handler is \
             outside of the layer, or in a spawned task; take it before the spawn, or use `MonitoringLayer::insert_data`"
        );
    }
}

/// Says that a monitor of this process is disabled: data that goes nowhere is then what was asked
/// for, and no warning is due.
pub(crate) fn note_disabled() {
    DISABLED.store(true, Ordering::Relaxed);
}

static DISABLED: AtomicBool = AtomicBool::new(false);

const UNMATCHED_BEFORE_WARNING: u64 = 100;
