//! Reports at the end which tests did not run: libtest starts tests in the order of their names.

use crate::support::{live, target::TargetKind};

#[test]
fn live_tests_ran() {
    let missing: Vec<_> =
        live::ALL.iter().filter(|one| one.find().is_none()).map(|one| one.name.to_owned()).collect();
    if !missing.is_empty() {
        assert!(!live::required(), "{} not found, and TOWER_INFLUX_LIVE=required", missing.join(", "));
        live::say(&format!("LIVE TESTS NOT RUN: {} not found", missing.join(", ")));
    }
    let named = TargetKind::named();
    let here = [TargetKind::Influxdb1, TargetKind::VictoriaMetrics];
    let others = TargetKind::ALL.into_iter().filter(|kind| !here.contains(kind) && Some(*kind) != named);
    for kind in others {
        live::say(&format!(
            "TESTS AGAINST {} NOT RUN: TOWER_INFLUX_TEST_URL names no such server",
            kind.name().to_uppercase()
        ));
    }
    live::say("TESTS AGAINST A VICTORIAMETRICS CLUSTER NOT RUN: there are none, it was tried by hand");
}
