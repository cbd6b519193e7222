//! Says at the end what did not run: libtest starts tests in the order of their names.

use crate::support::live;

#[test]
fn live_tests_ran() {
    let missing: Vec<_> =
        live::ALL.iter().filter(|one| one.find().is_none()).map(|one| one.name.to_owned()).collect();
    if !missing.is_empty() {
        assert!(!live::required(), "{} not found, and TOWER_INFLUX_LIVE=required", missing.join(", "));
        live::say(&format!("LIVE TESTS NOT RUN: {} not found", missing.join(", ")));
    }
    if std::env::var_os("TOWER_INFLUX_TEST_URL").is_none() {
        live::say("TESTS AGAINST INFLUXDB 2.x NOT RUN: TOWER_INFLUX_TEST_URL names no server");
    }
}
