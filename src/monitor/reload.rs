//! Changes the settings of a running delivery in two steps. First everything is opened; after that
//! nothing can fail.

use std::sync::Arc;

use super::{
    builder::{make_sink, open_rejected},
    fan_out::FanOut,
    inner::Inner,
    rollup_delivery::own_settings,
    spools::{Present, configure_spool, reopen_spool},
};
use crate::{
    delivery::{
        sink::{Sink, rejected::RejectedFiles},
        spool::Spool,
    },
    error::Error,
    settings::{Settings, Storage},
};

/// What the new settings need, opened but not yet in use. Dropping it changes nothing: a spool
/// recovers its files only when it is put into use.
struct Opened {
    sink: Arc<dyn Sink>,
    rejected: Option<Arc<RejectedFiles>>,
    points: Option<Arc<Spool>>,
    rollups: Option<Arc<Spool>>,
    added: Vec<Option<Arc<Spool>>>,
}

/// Changes the delivery, or nothing at all. Continues even if the caller stops waiting.
pub(super) async fn reload(inner: &Arc<Inner>, settings: Settings) -> Result<(), Error> {
    let changing = inner.flusher.runtime().spawn(change(Arc::clone(inner), settings));
    changing.await.map_err(|_| inner.flusher.ended())?
}

async fn change(inner: Arc<Inner>, settings: Settings) -> Result<(), Error> {
    // Two at once would each open what the other one opens.
    let _one_at_a_time = inner.reloading.lock().await;
    let old = inner.settings.lock().clone();
    refuse_fixed(&old, &settings)?;
    let own = inner.rollups.as_ref().and_then(|rollups| rollups.delivery.as_ref());
    let (points, rollups) = (Present::of(&inner.flusher), own.map(|own| Present::of(&own.flusher)));
    let sink = inner.own_sink.then(|| inner.flusher.sink()).transpose()?;
    let (fan_out, new) = (inner.fan_out.clone(), settings.clone());
    let opening = move || Opened::open(&new, sink, &points, rollups.as_ref(), &fan_out);
    // Not on a thread of the application, since it reads files and locks directories.
    let opened = inner.flusher.runtime().spawn_blocking(opening).await;
    let Opened { sink, rejected, points, rollups, added } = opened.map_err(|_| inner.flusher.ended())??;
    let main = inner.flusher.reload(Arc::clone(&sink), points.clone(), rejected.clone(), (&settings).into());
    match own {
        Some(own) => {
            let of_rollups = own.reload(&settings, sink, rollups, rejected.clone());
            let (main, of_rollups) = tokio::join!(main, of_rollups);
            main.and(of_rollups)?;
        }
        None => main.await?,
    }
    configure_spool(points.as_ref(), &settings);
    inner.fan_out.reload(&settings, added, rejected.as_ref()).await?;
    *inner.settings.lock() = settings;
    Ok(())
}

impl Opened {
    fn open(
        settings: &Settings,
        sink: Option<Arc<dyn Sink>>,
        points: &Present,
        rollups: Option<&Present>,
        fan_out: &FanOut,
    ) -> Result<Self, Error> {
        settings.validate()?;
        let sink = match sink {
            Some(sink) => sink,
            None => make_sink(settings)?,
        };
        let rejected = open_rejected(settings)?;
        let spool = reopen_spool(points, settings, &*sink)?;
        let rollups = match rollups {
            Some(present) => reopen_spool(present, &own_settings(settings), &*sink)?,
            None => None,
        };
        Ok(Self { sink, rejected, points: spool, rollups, added: fan_out.open_spools(settings)? })
    }
}

/// Refuses changes to settings that every request reads without a lock.
fn refuse_fixed(old: &Settings, new: &Settings) -> Result<(), Error> {
    let refuse = |name: &str| {
        Err(Error::setting_without_value(
            name,
            "it cannot change while the monitor runs: restart the service",
        ))
    };
    match () {
        () if new.enabled != old.enabled => refuse("enabled"),
        () if new.service != old.service => refuse("service"),
        () if new.instance != old.instance => refuse("instance"),
        () if new.tags != old.tags => refuse("tags"),
        () if new.request_id != old.request_id => refuse("request_id"),
        () if new.trace_id != old.trace_id => refuse("trace_id"),
        () if new.limits != old.limits => refuse("limits"),
        () if new.filter != old.filter => refuse("filter"),
        () if new.requests != old.requests => refuse("requests"),
        () if new.metrics != old.metrics => refuse("metrics"),
        () if new.process != old.process => refuse("process"),
        () if new.rollup != old.rollup => refuse("rollup"),
        () if (new.storage == Storage::None) != (old.storage == Storage::None) => refuse("storage"),
        () if new.own_points != old.own_points => refuse("own_points"),
        () => Ok(()),
    }
}
