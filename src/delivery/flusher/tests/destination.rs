//! Tests that a stored batch stays with its destination, wherever it is when a reload configures
//! another one.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::support::{Answer, Rig, Script, line, lines, text};
use crate::{
    delivery::{
        batch::Batch,
        sink::{Refused, Sink, WriteError, WriteErrorKind},
        spool::Spool,
    },
    settings::{Settings, SpoolMode, SpoolSettings},
};

/// Where the batch is at the time of the reload.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    InFlight,
    Waiting,
    Bisected,
    Split,
}

fn behaviour(moment: Moment) -> impl FnMut(&Batch) -> Answer + Send + 'static {
    let (mut writes, bad) = (0, line(3));
    move |batch: &Batch| {
        writes += 1;
        match moment {
            // The first attempt fails, so that the batch is loaded from disk.
            _ if writes == 1 => Answer::Now(Err(WriteError::transient("reset"))),
            Moment::InFlight => Answer::After(Duration::from_secs(3), Err(WriteError::transient("reset"))),
            Moment::Waiting => Answer::Now(Err(WriteError::transient("reset"))),
            Moment::Bisected if batch.len() == 1 => Answer::Never,
            Moment::Bisected => match text(batch).contains(&bad) {
                true => Answer::Now(Err(WriteError::new(
                    WriteErrorKind::Refused(Refused::default()),
                    "400 Bad Request",
                ))),
                false => Answer::Now(Ok(())),
            },
            Moment::Split if batch.len() > 10 => Answer::Now(Err(WriteError::too_large("413"))),
            Moment::Split if text(batch).contains(&bad) => Answer::Never,
            Moment::Split => Answer::Now(Ok(())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_stored_batch_goes_to_another_destination_after_a_reload() {
    for moment in [Moment::InFlight, Moment::Waiting, Moment::Bisected, Moment::Split] {
        for mode in [SpoolMode::OnFailure, SpoolMode::Ahead] {
            let context = format!("{moment:?}, {mode:?}");
            let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
            let rig = Rig::with(|_| {}, Some((directories[0].path(), mode)), behaviour(moment));
            rig.push(0..20);
            sleep(Duration::from_secs(5)).await;
            assert!(rig.sink.requests() > 1, "{context}: it came back from the disk");

            let other = Script::named("another", |_| Ok(()));
            let reload = async |sink: &Arc<Script>, target, directory: &tempfile::TempDir| {
                let settings = SpoolSettings::new(directory.path());
                let spool = Spool::open(&settings, target, Arc::clone(&rig.ledger)).expect("opens");
                let sink = Arc::clone(sink) as Arc<dyn Sink>;
                let settings = (&Settings::new("test")).into();
                rig.flusher.reload(sink, Some(Arc::new(spool)), None, settings).await.expect("runs");
            };
            reload(&other, "another", &directories[1]).await;
            rig.push(20..30);
            sleep(Duration::from_secs(120)).await;
            assert_eq!(other.stored(), lines(20..30), "{context}");
            let left = 20 - rig.sink.stored().len() as u64;
            let stats = rig.flusher.stats();
            assert_eq!(stats.ledger.spooled, left, "{context}: {stats}");

            // Back at the first destination, everything is delivered.
            rig.sink.behave(|_| Ok(()));
            let third = tempfile::tempdir().expect("a directory");
            reload(&rig.sink, "script", &third).await;
            sleep(Duration::from_secs(120)).await;
            assert_eq!(rig.sink.stored(), lines(0..20), "{context}: {}", rig.flusher.stats());
            rig.assert_ledger(30, 0, 0);
            rig.end().await;
        }
    }
}
