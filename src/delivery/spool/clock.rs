//! The clock that measures the age of batches in the spool.
//!
//! The system's clock may be wrong when a service starts, and may be set while it runs. By that
//! clock a batch sealed seconds ago could look old, and an old one could be kept for ever. So the
//! spool does not use it. The spool has a clock of its own, in milliseconds:
//!
//! - It runs while a process holds the directory, also while the machine is suspended.
//! - Between two processes it advances by the time that the machine has been up, if the machine was
//!   not restarted in between. During a restart of the machine it stands still, and also where the
//!   system does not identify its boots.
//!
//! The name of each file states when its batch was sealed by this clock. The lock file of the
//! directory holds the clock's mark, which is at most a minute old when the process ends.

use std::time::Duration;

/// A time of the spool's clock, in milliseconds. Times of two directories cannot be compared.
pub(super) type SpoolTime = u64;

/// A running clock.
#[derive(Clone, Debug)]
pub(super) struct SpoolClock {
    machine: Machine,
    /// The clock's value at an uptime of zero. It is negative if the directory is younger than the
    /// machine's uptime.
    at_boot: i64,
}

/// A saved value of a clock, with the machine's boot and uptime at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    time: SpoolTime,
    boot: Option<u64>,
    uptime: u64,
}

/// The machine's boot and uptime, which cannot be set.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Identifies the boot of the machine.
    boot: Option<u64>,
    #[cfg(test)]
    pub(super) skew: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl SpoolClock {
    /// Continues the clock of a directory from its mark, or starts a new one.
    pub(super) fn resume(mark: Option<Mark>, machine: &Machine) -> Self {
        let uptime = machine.uptime();
        let time = mark.map_or(BEGINNING, |mark| {
            let same_boot = mark.boot.is_some() && mark.boot == machine.boot;
            mark.time.saturating_add(if same_boot { uptime.saturating_sub(mark.uptime) } else { 0 })
        });
        Self { machine: machine.clone(), at_boot: signed(time).saturating_sub(signed(uptime)) }
    }

    pub(super) fn now(&self) -> SpoolTime {
        let now = self.at_boot.saturating_add(signed(self.machine.uptime()));
        u64::try_from(now).unwrap_or(0)
    }

    /// Returns the age of a time, or zero if the time is in the future.
    pub(super) fn age(&self, time: SpoolTime) -> Duration {
        Duration::from_millis(self.now().saturating_sub(time))
    }

    /// Returns the time that was this long ago.
    pub(super) fn before(&self, age: Duration) -> SpoolTime {
        self.now().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns by how many milliseconds this clock is ahead of another one on the same machine.
    pub(super) fn ahead_of(&self, other: &Self) -> i64 {
        self.at_boot.saturating_sub(other.at_boot)
    }

    pub(super) fn mark(&self) -> Mark {
        let uptime = self.machine.uptime();
        let time = u64::try_from(self.at_boot.saturating_add(signed(uptime))).unwrap_or(0);
        Mark { time, boot: self.machine.boot, uptime }
    }
}

impl Mark {
    /// Encodes the mark as one line. Its length is constant, so a write always replaces the whole
    /// previous line.
    pub(super) fn encode(&self) -> String {
        let Self { time, boot, uptime } = self;
        let text = format!("clock={time:020} boot={:016x} uptime={uptime:020}", boot.unwrap_or(0));
        format!("{text} check={:08x}\n", crc32fast::hash(text.as_bytes()))
    }

    /// Decodes a line. Returns `None` for any line that [`encode`](Self::encode) did not write.
    pub(super) fn decode(line: &str) -> Option<Self> {
        let (text, _) = line.rsplit_once(" check=")?;
        let mut fields = text.split(' ');
        let mut field = |name: &str| fields.next()?.strip_prefix(name);
        let time = field("clock=")?.parse().ok()?;
        let boot = u64::from_str_radix(field("boot=")?, 16).ok()?;
        let uptime = field("uptime=")?.parse().ok()?;
        let mark = Self { time, boot: (boot != 0).then_some(boot), uptime };
        (mark.encode() == line).then_some(mark)
    }
}

impl Machine {
    pub(super) fn this() -> Self {
        Self {
            boot: boot(),
            #[cfg(test)]
            skew: std::sync::Arc::default(),
        }
    }

    #[cfg(not(test))]
    fn uptime(&self) -> u64 {
        u64::try_from(crate::clock::MonotonicInstant::now().nanoseconds() / 1_000_000).unwrap_or(0)
    }

    /// Reads the uptime by the runtime's clock, which tests can pause.
    #[cfg(test)]
    fn uptime(&self) -> u64 {
        use std::sync::LazyLock;
        use tokio::time::Instant;

        // Earlier than the start of any test's clock, which stands still from then on.
        static BASE: LazyLock<Instant> = LazyLock::new(|| {
            let now = std::time::Instant::now();
            Instant::from_std(now.checked_sub(Duration::from_secs(60)).unwrap_or(now))
        });
        let elapsed = Instant::now().saturating_duration_since(*BASE).as_millis() as u64;
        elapsed + self.skew.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Returns the same machine after a restart.
    #[cfg(test)]
    pub(super) fn reboot(&mut self) {
        self.boot = Some(self.boot.unwrap_or(0).wrapping_add(2) | 1);
    }
}

/// Returns a number that identifies this boot of the machine.
fn boot() -> Option<u64> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u64::from_str_radix(id.trim().replace('-', "").get(..16)?, 16).ok().filter(|boot| *boot != 0)
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// The first value of a new clock. It is large enough that batches from another directory, which
/// are older than this clock, still have a positive time.
const BEGINNING: SpoolTime = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn the_clock_advances_while_the_machine_is_up_and_stands_still_during_its_restart() {
        let mut machine = Machine { boot: Some(7), skew: Default::default() };
        let clock = SpoolClock::resume(None, &machine);
        let start = clock.now();
        machine.skew.fetch_add(5_000, Relaxed);
        let about = |clock: &SpoolClock| (clock.now() - start) / 1_000;
        assert_eq!((about(&clock), clock.age(start).as_secs(), clock.age(u64::MAX)), (5, 5, Duration::ZERO));

        let mark = clock.mark();
        machine.skew.fetch_add(60_000, Relaxed);
        assert_eq!(about(&SpoolClock::resume(Some(mark), &machine)), 65, "the time between two processes");
        machine.reboot();
        assert_eq!(about(&SpoolClock::resume(Some(mark), &machine)), 5, "nobody knows how long it was off");
        machine.boot = None;
        let unknown = SpoolClock::resume(Some(Mark { boot: None, ..mark }), &machine);
        assert_eq!(about(&unknown), 5, "two unknown starts are not the same");
    }

    #[test]
    fn only_a_mark_as_it_was_written_is_decoded() {
        let mark = Mark { time: 1_000_000_012_345, boot: Some(0xabc), uptime: 99 };
        let line = mark.encode();
        assert_eq!(Mark::decode(&line), Some(mark));
        let unknown = Mark { boot: None, ..mark };
        assert_eq!((Mark::decode(&unknown.encode()), unknown.encode().len()), (Some(unknown), line.len()));
        for bad in ["", "\n", "12345\n", &line[1..], &line.replace("99", "98"), line.trim_end()] {
            assert_eq!(Mark::decode(bad), None, "{bad:?}");
        }
        // No content of a mark leads to an overflow.
        let absurd = Mark { time: u64::MAX, boot: Some(1), uptime: 0 };
        let clock = SpoolClock::resume(Some(absurd), &Machine { boot: Some(1), skew: Default::default() });
        assert!(clock.age(0) > Duration::from_secs(1) && clock.before(Duration::MAX) == 0);
        assert_eq!(clock.mark().time, clock.now());
    }

    #[test]
    fn the_cost_of_a_mark_is_linear_in_its_length() {
        let pieces = ["clock=", "boot=", "uptime=", " check=", "0000000000000000"];
        crate::work::assert_linear(&pieces, |text| _ = Mark::decode(text));
    }
}
