//! The settings of the flusher.

use std::time::Duration;

use crate::settings::{Overflow, Settings, SpoolMode};

/// Taken from [`Settings`] at start and at each reload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlushSettings {
    pub(crate) flush_interval: Duration,
    pub(crate) batch_size: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) buffer_size: usize,
    pub(crate) overflow: Overflow,
    pub(crate) retry_interval: Duration,
    pub(crate) max_retry_interval: Duration,
    pub(crate) max_retry_time: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) strip_refused_extras: bool,
    /// How long one write may take before it is dropped. It is longer than the clients' own
    /// timeouts, so that these occur first, with better messages.
    pub(crate) write_timeout: Duration,
    pub(crate) spool_mode: SpoolMode,
}

impl From<&Settings> for FlushSettings {
    fn from(settings: &Settings) -> Self {
        // A batch larger than a quarter of the memory would leave no room to fill one while another
        // is in flight. The spool must have room for two.
        let spool = settings.spool.as_ref().map_or(u64::MAX, |spool| spool.max_size / 2);
        let spool = usize::try_from(spool).unwrap_or(usize::MAX);
        let batch_bytes = settings.batch_bytes.min(settings.buffer_size / 4).min(spool).max(1);
        Self {
            flush_interval: settings.flush_interval.max(MIN_FLUSH_INTERVAL),
            batch_size: settings.batch_size.max(1),
            batch_bytes,
            buffer_size: settings.buffer_size,
            overflow: settings.overflow,
            retry_interval: settings.retry_interval,
            max_retry_interval: settings.max_retry_interval.max(settings.retry_interval),
            max_retry_time: settings.max_retry_time,
            max_in_flight: settings.max_in_flight.clamp(1, MAX_IN_FLIGHT),
            strip_refused_extras: settings.strip_refused_extras,
            write_timeout: settings.influx.connect_timeout + settings.influx.timeout + WRITE_GRACE,
            spool_mode: settings.spool.as_ref().map(|spool| spool.mode).unwrap_or_default(),
        }
    }
}

/// A shorter interval would only waste processor time.
pub(super) const MIN_FLUSH_INTERVAL: Duration = Duration::from_millis(1);
const MAX_IN_FLIGHT: usize = 16;
const WRITE_GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SpoolSettings;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_batch_fits_four_times_into_memory_and_twice_into_the_spool() {
        for (batch, buffer, spool, bytes) in [
            (4 * MIB, 64 * MIB, None, 4 * MIB),
            (4 * MIB, 8 * MIB, None, 2 * MIB),
            (4 * MIB, 64 * MIB, Some(64 * MIB), 4 * MIB),
            (4 * MIB, 64 * MIB, Some(3 * MIB), 3 * MIB / 2),
            (4 * MIB, 3, None, 1),
        ] {
            let mut settings = Settings::new("test");
            (settings.batch_bytes, settings.buffer_size) = (batch, buffer);
            settings.spool = spool.map(|size| {
                let mut spool = SpoolSettings::new("/not/opened");
                spool.max_size = size as u64;
                spool
            });
            assert_eq!(FlushSettings::from(&settings).batch_bytes, bytes, "{batch} {buffer} {spool:?}");
        }
    }

    #[test]
    fn invalid_values_are_replaced_by_the_nearest_valid_ones() {
        let mut settings = Settings::new("test");
        (settings.flush_interval, settings.batch_size, settings.max_in_flight) = (Duration::ZERO, 0, 0);
        settings.retry_interval = Duration::from_secs(9);
        settings.max_retry_interval = Duration::from_secs(3);
        let used = FlushSettings::from(&settings);
        assert_eq!(
            (used.flush_interval, used.batch_size, used.max_in_flight, used.max_retry_interval),
            (MIN_FLUSH_INTERVAL, 1, 1, Duration::from_secs(9))
        );
        settings.max_in_flight = 100;
        assert_eq!(FlushSettings::from(&settings).max_in_flight, MAX_IN_FLIGHT);
        // The client's own timeouts occur first.
        let least = settings.influx.connect_timeout + settings.influx.timeout;
        assert!(used.write_timeout > least && used.write_timeout < least + Duration::from_secs(10));
    }
}
