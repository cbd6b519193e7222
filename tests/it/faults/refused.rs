//! Points that a real InfluxDB refuses: only these are lost, and they are counted.

use std::{collections::BTreeSet, time::Duration};

use tower_influx::{
    DataPoint, Monitor, Point,
    point::{Timestamp, Value},
    stats::RejectReason,
};

use super::{Auditor, BUCKET};
use crate::{
    stored::{Way, influx_behind_nginx, settings},
    support::{
        live::{self, INFLUXD, NGINX},
        nginx::{Nginx, NginxOptions, Upstream},
        numbered::{difference, record, stored},
    },
};

/// A point with a value whose type conflicts with that of the server.
struct Conflicting {
    number: i64,
    time: i64,
}

impl Point for Conflicting {
    fn measurement(&self) -> &str {
        "typed"
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        visit("value", (self.number as f64 + 0.5).into());
    }

    fn time(&self) -> Option<Timestamp> {
        Some(self.time.into())
    }
}

/// The server has the field as an integer in each of three shards. Each shard reports `dropped=2`,
/// and the ledger six.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_conflict_in_three_shards_loses_only_those_points() {
    if !live::ready("a_type_conflict_in_three_shards_loses_only_those_points", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::ALL {
        a_type_conflict_in_three_shards_loses_only_those_points_by(way).await;
    }
}

async fn a_type_conflict_in_three_shards_loses_only_those_points_by(way: Way) {
    const WEEK: i64 = 7 * 24 * 60 * 60 * 1_000_000_000;
    const START: i64 = 1_700_000_000_000_000_000;
    let (influx, nginx) = influx_behind_nginx().await;
    let known: String = (0..3).map(|week| format!("typed value=1i {}\n", START + week * WEEK)).collect();
    assert_eq!(influx.write(BUCKET, known).await.status, 204);
    let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
    let auditor = Auditor::watch(&monitor);
    record(&monitor, "numbered", 0..500);
    for week in 0..3 {
        for number in 1..=2 {
            monitor.record(&Conflicting { number, time: START + week * WEEK + number });
        }
    }
    record(&monitor, "numbered", 500..1_000);
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    auditor.stop().await;
    let stats = monitor.stats();
    assert_eq!((report.accepted, report.written, report.rejected), (1_006, 1_000, 6), "{stats:?}");
    assert_eq!(stats.ledger.rejected.get(&RejectReason::FieldType), Some(&6), "{stats:?}");
    let (expected, found) = ((0..1_000).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
    assert_eq!(influx.count(BUCKET, "typed", "value").await, 3);
}

/// A handler adds an integer field that the server has as a string: every request keeps its point.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_extra_loses_the_extra_and_not_the_point() {
    if !live::ready("a_refused_extra_loses_the_extra_and_not_the_point", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::ALL {
        let (influx, nginx) = influx_behind_nginx().await;
        let now = 1_700_000_000_000_000_000_i64;
        let known = format!("requests,route=r execution_time=0.25,size=\"large\" {now}\n");
        assert_eq!(influx.write(BUCKET, known).await.status, 204);
        let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
        let auditor = Auditor::watch(&monitor);
        for number in 1..=1_000 {
            let point = DataPoint::new("requests").with_tag("route", "r").with_field("execution_time", 0.25);
            let point = if number % 2 == 0 { point.with_field("size", number) } else { point };
            monitor.record(&point.with_time(now + number));
        }
        let report = monitor.shutdown(Duration::from_secs(30)).await;
        auditor.stop().await;
        let stats = monitor.stats();
        assert_eq!((report.accepted, report.written, report.rejected), (1_000, 1_000, 0), "{stats:?}");
        assert_eq!(stats.delivery.stripped.get(&RejectReason::FieldType), Some(&500), "{stats:?}");
        assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, 1_001);
        assert_eq!(influx.count(BUCKET, "requests", "size").await, 1);
    }
}

/// None, one at different places, two, ten or all are bad. Only those are lost, and the cost is
/// bounded.
#[tokio::test(flavor = "multi_thread")]
async fn only_refused_points_are_lost_however_many() {
    if !live::ready("only_refused_points_are_lost_however_many", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::PROXIED {
        only_refused_points_are_lost_by(way).await;
    }
}

async fn only_refused_points_are_lost_by(way: Way) {
    const EACH: i64 = 1_000;
    let (influx, nginx) = influx_behind_nginx().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = now.as_nanos() as i64;
    assert_eq!(influx.write(BUCKET, format!("typed value=1i {now}\n")).await.status, 204);
    let anywhere = fastrand::i64(1..EACH - 1);
    let ten = (0..10).map(|number| number * 97 + 5).collect();
    let rounds: [Vec<i64>; 7] =
        [vec![], vec![0], vec![EACH - 1], vec![anywhere], vec![0, anywhere], ten, (0..EACH).collect()];
    let mut expected = BTreeSet::new();
    for (round, bad) in rounds.into_iter().enumerate() {
        let mut settings = way.settings(&influx, &nginx);
        // One flush is then one batch.
        settings.flush_interval = Duration::from_secs(600);
        let monitor = Monitor::start(settings).expect("the settings are good");
        let first = round as i64 * EACH;
        for number in 0..EACH {
            if bad.contains(&number) {
                monitor.record(&Conflicting { number, time: now + 1 + first + number });
            } else {
                record(&monitor, "numbered", [first + number]);
                expected.insert(first + number);
            }
        }
        let report = monitor.shutdown(Duration::from_secs(60)).await;
        let stats = monitor.stats();
        let (good, count) = ((EACH - bad.len() as i64) as u64, bad.len() as u64);
        assert_eq!((report.written, report.rejected), (good, count), "round {round}: {stats:?}");
        assert!(stats.balances(), "{stats:?}");
        let writes = stats.delivery.writes.total();
        // A budget for each bad point, or that of the whole search if nearly all are bad.
        let most = if bad.len() < 100 { 1 + 24 * count } else { 300 };
        assert!(writes <= most, "round {round}: {writes} writes for {count} points of {EACH}");
    }
    let found = stored(&influx, BUCKET, "numbered").await;
    assert!(found == expected, "{}", difference(&expected, &found));
    assert_eq!(influx.count(BUCKET, "typed", "value").await, 1);
}

/// Points that are older than the retention of the database.
#[tokio::test(flavor = "multi_thread")]
async fn only_points_beyond_retention_are_lost() {
    if !live::ready("only_points_beyond_retention_are_lost", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::ALL {
        only_points_beyond_retention_are_lost_by(way).await;
    }
}

async fn only_points_beyond_retention_are_lost_by(way: Way) {
    let (influx, nginx) = influx_behind_nginx().await;
    influx
        .query("", &format!("CREATE RETENTION POLICY short ON {BUCKET} DURATION 1h REPLICATION 1 DEFAULT"))
        .await;
    let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
    record(&monitor, "numbered", 0..100);
    for number in 0..3 {
        monitor.record(&Conflicting { number, time: 1_700_000_000_000_000_000 + number });
    }
    record(&monitor, "numbered", 100..200);
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    let stats = monitor.stats();
    assert_eq!((report.accepted, report.written, report.rejected), (203, 200, 3), "{stats:?}");
    assert_eq!(stats.ledger.rejected.get(&RejectReason::Retention), Some(&3), "{stats:?}");
    let (expected, found) = ((0..200).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
}

/// A point whose line is longer than the proxy accepts.
struct Large(i64);

impl Point for Large {
    fn measurement(&self) -> &str {
        "large"
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        for (key, letter) in [("one", "a"), ("two", "b"), ("three", "c")] {
            visit(key, letter.repeat(16 * 1024).into());
        }
        visit("number", self.0.into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_accepts_32_kib_receives_pieces_of_32_kib() {
    if !live::ready("a_proxy_that_accepts_32_kib_receives_pieces_of_32_kib", &[INFLUXD, NGINX]) {
        return;
    }
    let (influx, whole) = influx_behind_nginx().await;
    drop(whole);
    let nginx = Nginx::start(NginxOptions {
        upstream: Upstream::Influx(influx.port()),
        token: "a-token".to_owned(),
        max_body_size: Some("32k".to_owned()),
        certificate: None,
    })
    .await;
    let monitor = Monitor::start(settings(&nginx.url())).expect("the settings are good");
    let auditor = Auditor::watch(&monitor);
    for round in 0..10 {
        record(&monitor, "numbered", round * 3_000..(round + 1) * 3_000);
        if round == 3 {
            monitor.record(&Large(7));
        }
        monitor.flush().await.expect("the monitor runs");
    }
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    auditor.stop().await;
    let stats = monitor.stats();
    assert_eq!((report.accepted, report.written, report.rejected), (30_001, 30_000, 1), "{stats:?}");
    assert_eq!(stats.ledger.rejected.get(&RejectReason::TooLarge), Some(&1), "{stats:?}");
    let (expected, found) = ((0..30_000).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
    // The limit is learnt: oversized bodies are found a few times, not with every batch.
    let log = nginx.log();
    let refused = log.iter().filter(|one| one.status == 413).count();
    live::say(&format!("32 KiB: {refused} bodies refused of {}", log.len()));
    assert!(refused <= 24, "{refused} of {} bodies were too large", log.len());
}
