//! Counters by names of the application: targets of outgoing calls, kinds of connections.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use serde::Serialize;

use crate::point::schema::OVERFLOW;

/// The outgoing calls to one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TargetStats {
    /// Calls that have ended.
    pub calls: u64,
    /// Ended calls that failed.
    pub errors: u64,
    /// Calls that have started and not ended.
    pub running: u64,
}

/// The long connections of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Connections that have ended.
    pub ended: u64,
    /// Connections that are open.
    pub open: u64,
}

/// The counters behind a [`TargetStats`].
#[derive(Debug, Default)]
pub(crate) struct TargetCounters {
    started: AtomicU64,
    errors: AtomicU64,
    ended: AtomicU64,
}

impl TargetCounters {
    pub(crate) fn start(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self, failed: bool) {
        self.errors.fetch_add(failed.into(), Relaxed);
        self.ended.fetch_add(1, Relaxed);
    }

    pub(crate) fn target(&self) -> TargetStats {
        // The ends are read first: read later, they could be ahead of the starts.
        let ended = self.ended.load(Relaxed);
        let running = self.started.load(Relaxed).saturating_sub(ended);
        TargetStats { calls: ended, errors: self.errors.load(Relaxed), running }
    }

    pub(crate) fn connection(&self) -> ConnectionStats {
        let TargetStats { calls, running, .. } = self.target();
        ConnectionStats { ended: calls, open: running }
    }
}

/// The counters of each name. They are looked up when a layer or guard is created, not for each
/// call.
#[derive(Debug, Default)]
pub(crate) struct Named(Mutex<BTreeMap<Cow<'static, str>, Arc<TargetCounters>>>);

impl Named {
    /// Returns the counters of this name, or those of the overflow value beyond [`MAX_NAMES`].
    pub(crate) fn of(&self, name: Cow<'static, str>) -> Arc<TargetCounters> {
        let mut names = self.0.lock();
        let known = names.contains_key(&name) || names.len() < MAX_NAMES;
        let name = if known { name } else { Cow::Borrowed(OVERFLOW) };
        Arc::clone(names.entry(name).or_default())
    }

    pub(crate) fn snapshot<S>(&self, read: impl Fn(&TargetCounters) -> S) -> BTreeMap<String, S> {
        let names = self.0.lock();
        names.iter().map(|(name, counters)| (name.clone().into_owned(), read(counters))).collect()
    }
}

/// Names that are counted separately.
const MAX_NAMES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_share_one_entry() {
        let named = Named::default();
        for number in 0..2 * MAX_NAMES {
            named.of(format!("target {number}").into()).start();
        }
        let snapshot = named.snapshot(TargetCounters::target);
        assert_eq!(snapshot.len(), MAX_NAMES + 1);
        assert_eq!(snapshot[OVERFLOW].running, MAX_NAMES as u64);
    }
}
