//! The spool that the settings name: opened, or kept over a reload.

use std::sync::Arc;

use crate::{
    delivery::{sink::Sink, spool::Spool},
    error::Error,
    settings::Settings,
    stats::ledger::Ledger,
};

pub(super) fn open_spool(
    settings: &Settings,
    sink: &dyn Sink,
    ledger: &Arc<Ledger>,
) -> Result<Option<Arc<Spool>>, Error> {
    let Some(spool) = &settings.spool else { return Ok(None) };
    Spool::open(spool, &sink.target(), Arc::clone(ledger)).map(|spool| Some(Arc::new(spool)))
}

/// Keeps the spool that there is if it is at the same place for the same destination: what waits
/// there goes on waiting for it. Its bounds are changed by [`configure_spool`], when nothing can
/// fail any more.
pub(super) fn reopen_spool(
    present: Option<Arc<Spool>>,
    settings: &Settings,
    sink: &dyn Sink,
    ledger: &Arc<Ledger>,
) -> Result<Option<Arc<Spool>>, Error> {
    match (present, &settings.spool) {
        (Some(spool), Some(new)) if spool.is_at(&new.directory) && spool.is_for(&sink.target()) => {
            Ok(Some(spool))
        }
        _ => open_spool(settings, sink, ledger),
    }
}

pub(super) fn configure_spool(spool: Option<&Arc<Spool>>, settings: &Settings) {
    if let (Some(spool), Some(settings)) = (spool, &settings.spool) {
        spool.configure(settings);
    }
}
