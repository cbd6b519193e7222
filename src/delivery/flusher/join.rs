//! Joins small batches that wait. A flush after each point of an outage creates a batch for each.
//! Every flush and every check of a bound visits all batches.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::delivery::batch::Batch;

use super::{
    conditions::Conditions,
    pending::{History, Origin, PendingBatch},
};

/// Joins small batches.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// When batches were first joined. Time windows are counted from there.
    start: Option<Instant>,
}

impl Joiner {
    /// Joins batches in these queues, up to these numbers of lines and bytes.
    pub(super) fn join<const N: usize>(
        &mut self,
        queues: [&mut VecDeque<PendingBatch>; N],
        (lines, bytes): (usize, usize),
        conditions: &Conditions,
    ) {
        let window = conditions.settings.max_retry_time / WINDOWS;
        let start = *self.start.get_or_insert(conditions.now);
        let most = Most { lines, bytes: bytes.min(SMALL) };
        for queue in queues {
            join(queue, &most, |history| time_window(history, start, window));
        }
    }
}

/// The maximum size of a joined batch.
#[derive(Debug)]
struct Most {
    lines: usize,
    bytes: usize,
}

/// Joins neighbours of about the same size, so that each line is copied only a few times, however
/// many batches come.
fn join(waiting: &mut VecDeque<PendingBatch>, most: &Most, window: impl Fn(&History) -> u128) {
    let mut joined: VecDeque<PendingBatch> = VecDeque::with_capacity(waiting.len());
    for mut pending in waiting.drain(..) {
        while let Some(last) = joined.pop_back() {
            let alike = window(&last.history) == window(&pending.history) && are_alike(&last, &pending, most);
            match if alike { pair(last, pending) } else { Err((last, pending)) } {
                Ok(whole) => pending = whole,
                Err((last, next)) => {
                    joined.push_back(last);
                    pending = next;
                    break;
                }
            }
        }
        joined.push_back(pending);
    }
    *waiting = joined;
}

/// Returns the time window of a batch. Joined batches expire together, so they must have begun to
/// wait at about the same time.
fn time_window(history: &History, start: Instant, window: Duration) -> u128 {
    let since = history.since.saturating_duration_since(start);
    since.as_nanos() / window.as_nanos().max(1)
}

fn are_alike(left: &PendingBatch, right: &PendingBatch, most: &Most) -> bool {
    let (smaller, larger) =
        (left.raw_bytes().min(right.raw_bytes()), left.raw_bytes().max(right.raw_bytes()));
    larger <= 2 * smaller
        && smaller + larger <= most.bytes
        && left.points() + right.points() <= most.lines
        && left.history.tried == right.history.tried
        && left.history.blocked_before == right.history.blocked_before
        && [left, right].iter().all(|pending| {
            pending.live
                && pending.is_plain()
                && matches!(pending.origin, Origin::Memory)
                && pending.history.beside_successes == 0
                && pending.history.beside_probes == 0
        })
}

/// Returns both as one batch, or unchanged if that is not possible.
#[expect(clippy::result_large_err, reason = "nothing has failed, and nothing is copied")]
fn pair(
    mut left: PendingBatch,
    mut right: PendingBatch,
) -> Result<PendingBatch, (PendingBatch, PendingBatch)> {
    let whole = match (left.batch(), right.batch()) {
        (Some(left), Some(right)) => Batch::join(&[left, right]),
        _ => None,
    };
    let Some(whole) = whole else { return Err((left, right)) };
    // The joined batch expires with the younger one, so that no point is dropped too early.
    let (younger, older) = match left.history.since > right.history.since {
        true => (left.history, right.history),
        false => (right.history, left.history),
    };
    let history = History {
        failures: younger.failures.min(older.failures),
        faults: younger.faults.min(older.faults),
        timeouts: 0,
        breaks: 0,
        ..younger
    };
    Ok(PendingBatch::live(whole, history))
}

/// Larger batches are not joined, but compressed.
const SMALL: usize = 64 * 1024;
/// `max_retry_time` is divided into this many windows. Batches of different windows are not joined.
const WINDOWS: u32 = 16;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const MOST: Most = Most { lines: 5_000, bytes: SMALL };

    fn pending(sequence: u64, since: Instant) -> PendingBatch {
        let batch = Batch::new(format!("x v={sequence}i 1\n").into(), 1, sequence, SystemTime::UNIX_EPOCH);
        PendingBatch::live(batch, History::new(since, Duration::ZERO))
    }

    #[tokio::test(start_paused = true)]
    async fn many_small_batches_become_few_and_no_line_is_lost_or_copied_often() {
        let (start, mut waiting, mut copied) = (Instant::now(), VecDeque::new(), 0);
        let most = 20_000;
        for number in 0..most {
            waiting.push_back(pending(number, start));
            let before: Vec<usize> = waiting.iter().map(PendingBatch::points).collect();
            join(&mut waiting, &MOST, |_| 0);
            let after: Vec<usize> = waiting.iter().map(PendingBatch::points).collect();
            copied += after.iter().filter(|points| !before.contains(points)).sum::<usize>();
            // Only full batches, and one of each size, are left.
            assert!(waiting.len() <= number as usize / 1_000 + 16, "{}: {after:?}", number + 1);
        }
        assert!(copied <= 16 * most as usize, "{copied} lines were copied");
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for pending in &mut waiting {
            lines.extend(pending.batch().expect("plain").lines().map(<[u8]>::to_vec));
        }
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), most as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn suspect_batches_and_those_with_another_state_are_not_joined() {
        let (start, window) = (Instant::now(), Duration::from_secs(10));
        type Change = fn(&mut PendingBatch);
        let changes: [(&str, Change); 6] = [
            ("alike", |_| {}),
            ("failed beside others", |pending| pending.history.beside_successes = 1),
            ("failed beside probes", |pending| pending.history.beside_probes = 1),
            ("reported as spooled", |pending| pending.live = false),
            ("sent before", |pending| pending.history.tried = true),
            ("waits for longer", |pending| pending.history.since += Duration::from_secs(10)),
        ];
        for (what, change) in changes {
            let mut other = pending(2, start);
            change(&mut other);
            let mut waiting = VecDeque::from([pending(1, start), other]);
            join(&mut waiting, &MOST, |history| time_window(history, start, window));
            assert_eq!(waiting.len(), if what == "alike" { 1 } else { 2 }, "{what}");
        }
        for (seconds, batches) in [([0, 9], 1), ([9, 10], 2), ([12, 19], 1), ([19, 20], 2)] {
            let [first, second] = seconds.map(|seconds| start + Duration::from_secs(seconds));
            let mut waiting = VecDeque::from([pending(1, first), pending(2, second)]);
            join(&mut waiting, &MOST, |history| time_window(history, start, window));
            assert_eq!(waiting.len(), batches, "{seconds:?}");
        }
        for most in [Most { lines: 1, ..MOST }, Most { bytes: 17, ..MOST }] {
            let mut waiting = VecDeque::from([pending(1, start), pending(2, start)]);
            join(&mut waiting, &most, |_| 0);
            assert_eq!(waiting.len(), 2, "{most:?}");
        }
        let mut waiting = VecDeque::from([pending(1, start + Duration::from_secs(3)), pending(2, start)]);
        join(&mut waiting, &MOST, |history| time_window(history, start, window));
        assert_eq!(waiting[0].history.since, start + Duration::from_secs(3), "none is given up too early");
    }
}
