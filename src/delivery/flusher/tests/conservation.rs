//! Tests that every accepted point is stored or counted as lost with a reason, whatever happens in
//! whatever order.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use tokio::{runtime::Builder, time::sleep};

use super::support::{Answer, Rig, line, lines, text};
use crate::{
    delivery::{
        batch::Batch,
        sink::{Hint, Refused, WriteError, WriteErrorKind},
    },
    settings::SpoolMode,
    stats::{Blocked, RejectReason},
};

/// The behaviour of the server for a while.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Fine,
    Slow,
    Away,
    Throttling,
    Blocked,
    Silent,
    Hanging,
    Panicking,
    SmallBodies,
    /// Answers about every second write with a server error.
    Shaky,
    /// Has written the batch, but the answer is lost.
    LosingAnswers,
}

#[derive(Clone, Copy, Debug)]
enum WorkloadStep {
    Change(Weather),
    Push(usize),
    Wait(u64),
    Flush,
    Check,
    Panic,
}

fn steps() -> impl Strategy<Value = Vec<WorkloadStep>> {
    use Weather::*;
    let weather = prop::sample::select(vec![
        Fine,
        Fine,
        Slow,
        Away,
        Throttling,
        Blocked,
        Silent,
        Hanging,
        Panicking,
        SmallBodies,
        Shaky,
        LosingAnswers,
    ]);
    let step = prop_oneof![
        3 => weather.prop_map(WorkloadStep::Change),
        4 => (1..400_usize).prop_map(WorkloadStep::Push),
        4 => (1..20_000_u64).prop_map(WorkloadStep::Wait),
        1 => Just(WorkloadStep::Flush),
        1 => Just(WorkloadStep::Check),
        1 => Just(WorkloadStep::Panic),
    ];
    prop::collection::vec(step, 1..40)
}

/// Returns a server that refuses every line whose number is a multiple of `poison`.
fn server(weather: Weather, poison: usize) -> impl FnMut(&Batch) -> Answer + Send + 'static {
    let mut writes = 0_u64;
    move |batch| {
        writes += 1;
        let lines = text(batch);
        let bad: BTreeSet<String> = lines.iter().filter(|line| is_bad(line, poison)).cloned().collect();
        let fine = if bad.is_empty() {
            Ok(())
        } else {
            let refused =
                Refused { reason: RejectReason::Malformed, hint: Hint::Unknown, ..Refused::default() };
            Err(WriteError::new(WriteErrorKind::Refused(refused), "400"))
        };
        match weather {
            Weather::Fine => Answer::Now(fine),
            Weather::Slow => Answer::After(Duration::from_secs(3), fine),
            Weather::Away => Answer::Now(Err(WriteError::transient("refused"))),
            Weather::Throttling => {
                Answer::Now(Err(WriteError::throttled(Some(Duration::from_secs(5)), "429")))
            }
            Weather::Blocked => Answer::Now(Err(WriteError::blocked(Blocked::Target, "no such bucket"))),
            Weather::Silent => Answer::After(Duration::from_secs(30), Err(WriteError::timeout("no answer"))),
            Weather::Hanging => Answer::Never,
            Weather::Panicking => std::panic::resume_unwind(Box::new("quietly, without the hook")),
            Weather::SmallBodies if batch.bytes().len() > 3_000 => {
                Answer::Now(Err(WriteError::too_large("413")))
            }
            Weather::Shaky if ((writes * 2_654_435_761_u64) >> 5).is_multiple_of(2) => {
                Answer::Now(Err(WriteError::transient("500")))
            }
            Weather::LosingAnswers if fine.is_ok() => Answer::Partly(lines, WriteError::transient("reset")),
            _ => Answer::Now(fine),
        }
    }
}

fn is_bad(line: &str, poison: usize) -> bool {
    let number: usize =
        line.trim_end().rsplit(' ').next().and_then(|time| time.parse().ok()).expect("a time");
    poison > 0 && number.is_multiple_of(poison)
}

async fn run(steps: Vec<WorkloadStep>, poison: usize, in_flight: usize, mode: Option<SpoolMode>) {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = Rig::with(
        |settings| {
            settings.max_in_flight = in_flight;
            settings.batch_size = 300;
        },
        mode.map(|mode| (directory.path(), mode)),
        server(Weather::Fine, poison),
    );
    let mut pushed = 0;
    for step in steps {
        match step {
            WorkloadStep::Change(weather) => rig.sink.behave(server(weather, poison)),
            WorkloadStep::Push(count) => {
                rig.push(pushed..pushed + count);
                pushed += count;
            }
            WorkloadStep::Wait(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
            WorkloadStep::Flush => {
                tokio::time::timeout(Duration::from_secs(3600), rig.flusher.flush())
                    .await
                    .expect("ends")
                    .expect("runs");
            }
            WorkloadStep::Check => rig.flusher.probe().await.expect("says yes"),
            WorkloadStep::Panic => rig.flusher.panic_in_the_loop(false),
        }
        let stats = rig.flusher.stats();
        assert!(stats.balances(), "{stats}");
    }
    rig.sink.behave(server(Weather::Fine, poison));
    // The longest pause is that of a probe. After a panic the flusher also pauses.
    sleep(Duration::from_secs(900)).await;
    let bad: BTreeSet<String> = (0..pushed).map(line).filter(|line| is_bad(line, poison)).collect();
    let good: BTreeSet<String> = lines(0..pushed).difference(&bad).cloned().collect();
    let stored = rig.sink.stored();
    let wrong: Vec<&String> = stored.symmetric_difference(&good).take(3).collect();
    assert!(wrong.is_empty(), "{wrong:?} {}", rig.flusher.stats());
    rig.assert_ledger(good.len() as u64, bad.len() as u64, 0);
    rig.end().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_point_is_lost_or_invented(
        steps in steps(),
        poison in prop::sample::select(vec![0, 0, 97, 400]),
        in_flight in 1..4_usize,
        mode in prop::sample::select(vec![None, Some(SpoolMode::OnFailure), Some(SpoolMode::Ahead)]),
    ) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("builds");
        runtime.block_on(run(steps, poison, in_flight, mode));
    }
}

/// Uses real threads: every snapshot accounts for every point, at whatever moment it is taken.
#[test]
fn snapshots_balance_while_everything_moves() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("builds");
    let directory = tempfile::tempdir().expect("a directory");
    let mut writes = 0_u32;
    let rig = runtime.block_on(async {
        let spool = Some((directory.path(), SpoolMode::OnFailure));
        let change = |settings: &mut crate::settings::Settings| {
            settings.flush_interval = Duration::from_millis(2);
            settings.retry_interval = Duration::from_millis(1);
            settings.max_retry_interval = Duration::from_millis(2);
            settings.batch_size = 500;
            settings.max_in_flight = 3;
        };
        Rig::with(change, spool, move |_: &Batch| {
            writes += 1;
            if writes.is_multiple_of(7) { Err(WriteError::transient("reset")) } else { Ok(()) }
        })
    });
    const EACH: usize = 20_000;
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..3)
            .map(|number| {
                let rig = &rig;
                scope.spawn(move || rig.push(number * EACH..(number + 1) * EACH))
            })
            .collect();
        while producers.iter().any(|producer| !producer.is_finished()) {
            let stats = rig.flusher.stats();
            assert!(stats.balances(), "{stats}");
        }
    });
    let report = runtime.block_on(rig.flusher.shutdown(Duration::from_secs(60)));
    assert_eq!(report.accepted, 3 * EACH as u64);
    assert_eq!(report.written + report.spooled, report.accepted, "{report}");
    assert!(rig.sink.stored().len() as u64 >= report.written);
    assert!(rig.flusher.stats().balances());
}
