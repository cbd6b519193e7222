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
    // The directories may already belong to the next monitor.
    if inner.shutdown_timeout.get().is_some() {
        return Err(Error::closed());
    }
    let old = inner.settings.lock().clone();
    refuse_fixed(&old, &settings)?;
    if !inner.own_sink && settings.storage == Storage::Influx && !inner.flusher.has_thread() {
        inner.flusher.check_io()?;
    }
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
    let mut current = inner.settings.lock();
    // It may have been set while the destinations changed, one after the other.
    inner.set_flush_interval(settings.flush_interval);
    *current = settings;
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
    // Without `..`: a new setting does not compile until it is in one of the two groups.
    let Settings {
        // Fixed.
        enabled,
        service,
        instance,
        tags,
        request_id,
        trace_id,
        limits,
        filter,
        requests,
        metrics,
        process,
        rollup,
        own_points,
        // Only from and to `none`.
        storage,
        // Read when the licence checks start.
        licensing: _,
        // Applied.
        influx: _,
        file: _,
        flush_interval: _,
        batch_size: _,
        batch_bytes: _,
        buffer_size: _,
        overflow: _,
        retry_interval: _,
        max_retry_interval: _,
        max_retry_time: _,
        max_in_flight: _,
        strip_refused_extras: _,
        rejected_directory: _,
        spool: _,
    } = new;
    let changed = [
        ("enabled", *enabled != old.enabled),
        ("service", *service != old.service),
        ("instance", *instance != old.instance),
        ("tags", *tags != old.tags),
        ("request_id", *request_id != old.request_id),
        ("trace_id", *trace_id != old.trace_id),
        ("limits", *limits != old.limits),
        ("filter", *filter != old.filter),
        ("requests", *requests != old.requests),
        ("metrics", *metrics != old.metrics),
        ("process", *process != old.process),
        ("rollup", *rollup != old.rollup),
        ("storage", (*storage == Storage::None) != (old.storage == Storage::None)),
        ("own_points", *own_points != old.own_points),
    ];
    match changed.into_iter().find(|(_, changed)| *changed) {
        Some((name, _)) => {
            let remedy = "it cannot change while the monitor runs: restart the service";
            Err(Error::setting_without_value(name, remedy))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::{KeepRequests, Overflow, SpoolSettings};

    type Change = fn(&mut Settings);

    const FIXED: [(&str, Change); 15] = [
        ("enabled", |settings| settings.enabled = false),
        ("service", |settings| settings.service.push('x')),
        ("instance", |settings| settings.instance = Some("other".to_owned())),
        ("tags", |settings| _ = settings.tags.insert("site".to_owned(), "north".to_owned())),
        ("request_id", |settings| settings.request_id ^= true),
        ("trace_id", |settings| settings.trace_id ^= true),
        ("limits", |settings| settings.limits.extras += 1),
        ("filter", |settings| settings.filter.ignore.push("/health".to_owned())),
        ("requests", |settings| settings.requests.keep = KeepRequests::None),
        ("requests", |settings| settings.requests.slow = Some(Duration::from_secs(9))),
        ("metrics", |settings| settings.metrics.names = Some(crate::settings::MetricNames::Luna)),
        ("process", |settings| settings.process.interval = Some(Duration::from_secs(9))),
        ("rollup", |settings| settings.rollup.interval = Some(Duration::from_secs(9))),
        ("storage", |settings| settings.storage = Storage::None),
        ("own_points", |settings| settings.own_points ^= true),
    ];
    const APPLIED: [Change; 17] = [
        |settings| settings.storage = Storage::Influx,
        |settings| settings.influx.bucket = "other".to_owned(),
        |settings| settings.file.directory = "other".into(),
        |settings| settings.flush_interval *= 2,
        |settings| settings.batch_size += 1,
        |settings| settings.batch_bytes += 1,
        |settings| settings.buffer_size += 1,
        |settings| settings.overflow = Overflow::DropNewest,
        |settings| settings.retry_interval *= 2,
        |settings| settings.max_retry_interval *= 2,
        |settings| settings.max_retry_time *= 2,
        |settings| settings.max_in_flight += 1,
        |settings| settings.strip_refused_extras ^= true,
        |settings| settings.rejected_directory = Some("rejected".into()),
        |settings| settings.spool = Some(SpoolSettings::new("spool")),
        |settings| settings.licensing.warning_days += 1,
        |_| {},
    ];

    #[test]
    fn every_setting_is_either_refused_by_its_name_or_applied() {
        let old = Settings::new("shop");
        for (name, change) in FIXED {
            let mut new = old.clone();
            change(&mut new);
            let refused = refuse_fixed(&old, &new).expect_err(name).to_string();
            assert!(refused.contains(&format!("`{name}`")), "{refused}");
            assert!(refuse_fixed(&new, &old).is_err(), "{name} back");
        }
        for (number, change) in APPLIED.into_iter().enumerate() {
            let mut new = old.clone();
            change(&mut new);
            refuse_fixed(&old, &new).unwrap_or_else(|error| panic!("{number}: {error}"));
        }
    }
}
