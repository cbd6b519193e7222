//! Statistics of the flusher besides the ledger.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::time::Instant;

use super::{DeliveryState, Histogram, RejectReason};

/// Written by the flusher, and read by snapshots. It is locked a few times a batch, never by a
/// request.
#[derive(Debug, Default)]
pub(crate) struct Delivery(Mutex<Progress>);

/// The contents of a [`Delivery`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) state: DeliveryState,
    pub(crate) backoff_until: Option<SystemTime>,
    pub(crate) last_error: Option<String>,
    pub(crate) sink: String,
    pub(crate) writes: WriteStats,
    /// Points that were sent again.
    pub(crate) resent: u64,
    /// Points that were written without columns that the sink refuses.
    pub(crate) stripped: BTreeMap<RejectReason, u64>,
    pub(crate) raw_bytes: u64,
    pub(crate) wire_bytes: u64,
    pub(crate) write_time: Histogram,
    pub(crate) queue_time: Histogram,
    /// Since when the oldest batch in memory has been waiting.
    pub(crate) oldest: Option<Instant>,
    pub(crate) waiting_batches: usize,
    /// Bytes of lines that are in memory twice while they are being sent.
    pub(crate) decompressed: usize,
    /// Panics of the flusher itself.
    pub(crate) restarts: u64,
    pub(crate) server_reported_dropped: u64,
    pub(crate) series: u64,
}

/// The number of series of one process that counts as high.
///
/// The free plan of InfluxDB Cloud allows this many. A hundred such processes make a million, at
/// which InfluxDB 1 refuses new series by default.
pub(crate) const MANY_SERIES: u64 = 10_000;

/// The number of writes by their results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WriteStats {
    /// All points were written.
    pub written: u64,
    /// The server refused some of the points.
    pub refused: u64,
    /// The body was larger than the server accepts.
    pub too_large: u64,
    /// The server asked for fewer writes.
    pub throttled: u64,
    /// The server could not be reached, the connection was reset, or the server failed.
    pub transient: u64,
    /// The server did not answer in time.
    pub timeout: u64,
    /// The token, the user or the password is wrong, or has no write permission.
    pub blocked_authorization: u64,
    /// The bucket, database, organization or retention policy does not exist.
    pub blocked_target: u64,
    /// The address answers, but not as a server that accepts points.
    pub blocked_configuration: u64,
    /// Failed writes by HTTP status, if there was a response.
    pub by_status: BTreeMap<u16, u64>,
}

impl Delivery {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing under this lock leaves the values half changed in a way that matters: they are
        // told, not acted upon.
        self.0.lock()
    }
}

impl Progress {
    /// Returns the age of the oldest waiting batch.
    pub(crate) fn oldest_age(&self) -> Option<Duration> {
        self.oldest.map(|since| since.elapsed())
    }
}

impl WriteStats {
    /// Returns the number of all writes.
    pub fn total(&self) -> u64 {
        let blocked = self.blocked_authorization + self.blocked_target + self.blocked_configuration;
        self.written
            + self.refused
            + self.too_large
            + self.throttled
            + self.transient
            + self.timeout
            + blocked
    }
}
