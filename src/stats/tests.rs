//! Tests of the snapshot's forms for people and machines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::stats::{Blocked, RejectReason};

fn stats() -> Stats {
    let mut stats = Stats::default();
    (stats.ledger.offered, stats.ledger.accepted) = (30, 20);
    stats.ledger.recovered = 2;
    stats.ledger.written = 9;
    stats.ledger.rejected = [(RejectReason::FieldType, 1), (RejectReason::TooLarge, 2)].into();
    stats.ledger.dropped = [(DropReason::BufferFull, 3)].into();
    (stats.ledger.buffered, stats.ledger.in_flight, stats.ledger.spooled) = (1, 2, 4);
    (stats.recorder.invalid, stats.recorder.refused_full, stats.recorder.refused_closed) = (5, 3, 2);
    stats.delivery.state = DeliveryState::Blocked(Blocked::Target);
    stats.delivery.sink = "InfluxDB at http://localhost:8086, bucket `b`".to_owned();
    stats.delivery.last_error = Some("404 Not Found".to_owned());
    stats.delivery.backoff_until = UNIX_EPOCH.checked_add(Duration::from_millis(1_500));
    stats.delivery.writes.by_status = [(404, 7)].into();
    stats
}

#[test]
fn balances_detects_a_missing_point() {
    let mut stats = stats();
    assert!(stats.balances());
    assert_eq!((stats.ledger.rejected_total(), stats.ledger.dropped_total()), (3, 3));
    stats.ledger.written += 1;
    assert!(!stats.balances());
    stats.ledger.written -= 1;
    assert!(stats.balances());
    stats.recorder.refused_full += 1;
    assert!(!stats.balances(), "what was offered has an equation of its own");
}

#[test]
fn the_display_is_one_line() {
    assert_eq!(
        stats().to_string(),
        "accepted 20 written 9 rejected 3 dropped 3 spooled 4 buffered 1 in flight 2 recovered 2 · InfluxDB at \
         http://localhost:8086, bucket `b` · blocked: target · 404 Not Found"
    );
}

#[test]
fn it_serializes_to_plain_json() {
    let json = serde_json::to_value(stats()).expect("serializes");
    assert_eq!(json["accepted"], 20);
    assert_eq!(json["rejected"], serde_json::json!({ "field_type": 1, "too_large": 2 }));
    assert_eq!(json["dropped"], serde_json::json!({ "buffer_full": 3 }));
    assert_eq!(json["recorder"]["invalid"], 5);
    let delivery = &json["delivery"];
    assert_eq!(delivery["state"], "blocked: target");
    assert_eq!(delivery["backoff_until"], 1.5);
    assert_eq!(delivery["writes"]["by_status"], serde_json::json!({ "404": 7 }));
    assert_eq!(delivery["write_time"], serde_json::json!({ "count": 0, "p50": 0.0, "p99": 0.0, "max": 0.0 }));
    assert_eq!(json["spool"], serde_json::Value::Null);
}

#[test]
fn a_time_before_the_epoch_does_not_prevent_serialization() {
    let mut stats = stats();
    stats.delivery.backoff_until = SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(1));
    let json = serde_json::to_value(stats).expect("serializes");
    assert_eq!(json["delivery"]["backoff_until"], 0.0);
}

#[test]
fn reasons_have_the_same_names_in_code_data_and_documentation() {
    let page = include_str!("../../docs/delivery.md");
    let dropped = [
        DropReason::BufferFull,
        DropReason::Expired,
        DropReason::SpoolFull,
        DropReason::SpoolExpired,
        DropReason::SpoolCorrupt,
        DropReason::Shutdown,
        DropReason::Internal,
    ];
    let rejected = [
        RejectReason::Malformed,
        RejectReason::FieldType,
        RejectReason::Retention,
        RejectReason::TooLarge,
        RejectReason::Limit,
        RejectReason::Other,
    ];
    for reason in dropped {
        assert_eq!(serde_json::to_value(reason).expect("serializes"), reason.to_string());
        assert!(page.contains(&format!("| `dropped.{reason}` |")), "{reason}");
    }
    for reason in rejected {
        assert_eq!(serde_json::to_value(reason).expect("serializes"), reason.to_string());
        assert!(page.contains(&format!("| `rejected.{reason}` |")), "{reason}");
    }
    assert_eq!(page.matches("| `dropped.").count() + page.matches("| `rejected.").count(), 13);
}
