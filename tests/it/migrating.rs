//! The queries of `docs/migrating.md`, run as documented.

use std::time::{Duration, SystemTime};

use crate::support::{
    influx::Influx,
    live::{self, INFLUXD},
};

const DOCUMENT: &str = include_str!("../../docs/migrating.md");

#[tokio::test(flavor = "multi_thread")]
async fn documented_queries_for_those_who_come_from_elsewhere_work_in_influxdb_1() {
    let name = "documented_queries_for_those_who_come_from_elsewhere_work_in_influxdb_1";
    if !live::ready(name, &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;

    // 60 requests of 1 to 60 milliseconds within one millisecond, ten seconds ago. The last one
    // failed.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let start = (now - Duration::from_secs(10)).as_nanos();
    let mut lines = String::new();
    for index in 1..=60 {
        let (status, time) = (if index == 60 { 503 } else { 200 }, f64::from(index) / 1000.0);
        let tags = format!("route=GET:/items/{{id}},service=luna-licenses,status_code={status}");
        let stamp = start + index as u128;
        lines += &format!("requests,{tags} execution_time={time},request_id=\"{index}\" {stamp}\n");
    }
    lines += &format!(
        "errors,error_code=11009,route=GET:/items/{{id}},service=luna-licenses,status_code=503 request_id=\"60\" {}\n\
         monitoring,service=luna-licenses running_requests=3i {start}\n",
        start + 60
    );
    assert_eq!(influx.write("monitoring", lines).await.status, 204);

    // The greatest value of the first column, over all rows and series.
    let expected = [60.0, 1.0, 0.0305, 59.0 / 60.0, 0.057, 0.0305, 1.0, 3.0];
    let queries: Vec<_> =
        DOCUMENT.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(queries.len(), expected.len());
    for (query, expected) in queries.into_iter().zip(expected) {
        let result = influx.query("monitoring", query).await;
        let series = result["series"].as_array().cloned().unwrap_or_default();
        let values = series.iter().flat_map(|one| one["values"].as_array().cloned().unwrap_or_default());
        let greatest = values.filter_map(|row| row[1].as_f64()).fold(f64::MIN, f64::max);
        assert!((greatest - expected).abs() < 1e-9, "{query}: {result}");
    }
}
