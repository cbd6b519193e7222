//! The spool of the settings: opens it, or keeps it at a reload.

use std::sync::Arc;

use crate::{
    delivery::{flusher::Flusher, sink::Sink, spool::Spool},
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

/// The spools of a delivery, and the ledger in which they count.
pub(super) struct Present {
    spools: Vec<Arc<Spool>>,
    ledger: Arc<Ledger>,
}

impl Present {
    pub(super) fn of(flusher: &Flusher) -> Self {
        Self { spools: flusher.spools(), ledger: flusher.ledger() }
    }
}

/// Keeps an existing spool with the same directory and target, also one of an earlier target: its
/// batches still wait for that. [`configure_spool`] changes its bounds, when nothing can fail any
/// more.
pub(super) fn reopen_spool(
    present: &Present,
    settings: &Settings,
    sink: &dyn Sink,
) -> Result<Option<Arc<Spool>>, Error> {
    let Some(new) = &settings.spool else { return Ok(None) };
    let mut spools = present.spools.iter();
    match spools.find(|spool| spool.is_at(&new.directory) && spool.is_for(&sink.target())) {
        Some(spool) => Ok(Some(Arc::clone(spool))),
        None => open_spool(settings, sink, &present.ledger),
    }
}

pub(super) fn configure_spool(spool: Option<&Arc<Spool>>, settings: &Settings) {
    if let (Some(spool), Some(settings)) = (spool, &settings.spool) {
        spool.configure(settings);
    }
}
