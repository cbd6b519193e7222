//! The ledger and the state of delivery, as a list for people.

use std::collections::BTreeMap;

use super::humanize::{self, Level};
use crate::stats::{MANY_SERIES, Stats};

/// Describes where the points are, and the state of their delivery.
pub(super) fn facts(stats: &Stats) -> Vec<(&'static str, String, Level)> {
    let (ledger, delivery) = (&stats.ledger, &stats.delivery);
    let worse = |number: u64, level| if number > 0 { level } else { Level::Unknown };
    let losses = |reasons: BTreeMap<String, u64>, total: u64| {
        let reasons: Vec<_> = reasons
            .into_iter()
            .map(|(reason, number)| format!("{reason} {}", humanize::count(number)))
            .collect();
        if reasons.is_empty() {
            humanize::count(total)
        } else {
            format!("{} ({})", humanize::count(total), reasons.join(", "))
        }
    };
    let in_memory = ledger.buffered + ledger.in_flight;
    let age = delivery
        .oldest_age
        .map_or_else(String::new, |age| format!(", the oldest for {}", humanize::span(age.as_secs())));
    let mut facts = vec![
        ("Taken", humanize::count(ledger.accepted), Level::Unknown),
        ("Stored", humanize::count(ledger.written), Level::Unknown),
        (
            "Waiting in memory",
            format!("{}{age} · {}", humanize::count(in_memory), humanize::bytes(delivery.memory)),
            Level::Unknown,
        ),
    ];
    if let Some(spool) = &stats.spool {
        let age = spool
            .oldest_age
            .map_or_else(String::new, |age| format!(", the oldest for {}", humanize::span(age.as_secs())));
        let disk = format!("{}{age} · {}", humanize::count(ledger.spooled), humanize::bytes(spool.bytes));
        facts.push(("Waiting on disk", disk, worse(ledger.spooled, Level::Warning)));
        facts.push(("Recovered after a restart", humanize::count(ledger.recovered), Level::Unknown));
    }
    let named = |reasons: Vec<(String, u64)>| reasons.into_iter().collect::<BTreeMap<_, _>>();
    let rejected = named(ledger.rejected.iter().map(|(reason, number)| (word(reason), *number)).collect());
    let dropped = named(ledger.dropped.iter().map(|(reason, number)| (word(reason), *number)).collect());
    let refused = stats.recorder.refused_full + stats.recorder.refused_closed;
    let stripped: u64 = delivery.stripped.values().sum();
    if stripped > 0 {
        facts.push(("Stored without refused tags or fields", humanize::count(stripped), Level::Warning));
    }
    facts.extend([
        (
            "Rejected by storage",
            losses(rejected, ledger.rejected_total()),
            worse(ledger.rejected_total(), Level::Bad),
        ),
        ("Given up", losses(dropped, ledger.dropped_total()), worse(ledger.dropped_total(), Level::Bad)),
        (
            "Not taken",
            humanize::count(refused + stats.recorder.invalid),
            worse(refused + stats.recorder.invalid, Level::Bad),
        ),
        (
            "A write takes",
            match delivery.write_time.count() {
                0 => "–".to_owned(),
                _ => format!(
                    "half within {}, the longest {}",
                    humanize::seconds(delivery.write_time.p50().as_secs_f64()),
                    humanize::seconds(delivery.write_time.max().as_secs_f64())
                ),
            },
            Level::Unknown,
        ),
        (
            "Series of this process",
            humanize::count(delivery.series),
            if delivery.series > MANY_SERIES { Level::Warning } else { Level::Unknown },
        ),
        ("Sent to", delivery.sink.clone(), Level::Unknown),
    ]);
    if let Some(error) = &delivery.last_error {
        facts.push(("Last error", error.clone(), Level::Warning));
    }
    facts
}

/// Formats a reason: `buffer_full` as `buffer full`.
fn word(reason: &impl serde::Serialize) -> String {
    let name =
        serde_json::to_value(reason).ok().and_then(|value| value.as_str().map(|name| name.replace('_', " ")));
    name.unwrap_or_default()
}
