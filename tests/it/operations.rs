//! The queries of `docs/operations.md`, run as documented.

use std::time::{Duration, SystemTime};

use tower_influx::stats::{RollupStats, SpoolStats, Stats};

use crate::support::{
    influx::Influx,
    live::{self, INFLUXD},
};

const DOCUMENT: &str = include_str!("../../docs/operations.md");

#[tokio::test(flavor = "multi_thread")]
async fn documented_retention_and_alerts_work_in_influxdb_1() {
    if !live::ready("documented_retention_and_alerts_work_in_influxdb_1", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let statements = statements();
    let (set_up, by_hand): (Vec<_>, Vec<_>) = statements.iter().partition(|text| text.starts_with("CREATE"));
    assert_eq!((set_up.len(), by_hand.len()), (3, 1));
    for statement in set_up {
        influx.query("monitoring", statement).await;
    }
    let queries = influx.query("", "SHOW CONTINUOUS QUERIES").await;
    assert!(queries.to_string().contains("requests_5m"), "{queries}");

    // 100 requests of 1 to 100 milliseconds, one hundredth of them failed, all in the same second a
    // minute ago.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let start = (now - Duration::from_secs(60)).as_nanos();
    let mut lines: String = (1..=100)
        .map(|index| {
            let status = if index == 100 { 503 } else { 200 };
            let time = f64::from(index) / 1000.0;
            format!(
                "requests,route=GET:/items,service=shop,status_code={status} execution_time={time} {}\n",
                start + index as u128
            )
        })
        .collect();
    lines += &format!(
        "licensing,service=shop,license_status=error license_period_rest=-3i,warnings=\"\",errors=\"over\" {start}\n"
    );
    assert_eq!(influx.write("monitoring", lines).await.status, 204);

    influx.query("monitoring", by_hand[0]).await;
    let policy = "\"five_years\".\"requests_5m\"";
    let sums =
        influx.query("monitoring", &format!("SELECT sum(\"requests\"), max(\"max\") FROM {policy}")).await;
    assert_eq!(sums["series"][0]["values"][0][1], 100, "{sums}");
    assert_eq!(sums["series"][0]["values"][0][2], 0.1, "{sums}");
    let good = influx
        .query("monitoring", &format!("SELECT \"p95\" FROM {policy} WHERE \"status_code\" = '200'"))
        .await;
    assert_eq!(good["series"][0]["values"][0][1], 0.094, "{good}");

    let expected = [
        ("failures", 1.0),
        ("latency", 0.095),
        ("silence", 100.0),
        ("licence ends", -3.0),
        ("licence is bad", 1.0),
    ];
    let alerts = alerts();
    assert_eq!(alerts.len(), expected.len());
    for ((name, query), (expected_name, value)) in alerts.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        let result = influx.query("monitoring", query).await;
        let series = result["series"].as_array().cloned().unwrap_or_default();
        assert_eq!(series.len(), 1, "{name}: {result}");
        assert_eq!(series[0]["tags"]["service"], "shop", "{name}: {result}");
        assert_eq!(series[0]["values"][0][1].as_f64(), Some(value), "{name}: {result}");
    }
}

#[test]
fn the_documented_values_are_in_the_statistics() {
    let mut stats = Stats::default();
    stats.spool = Some(SpoolStats::default());
    stats.rollup = Some(RollupStats::default());
    let json = serde_json::to_value(&stats).expect("statistics serialize");
    let table = DOCUMENT.split("| alert | value | when |").nth(1).expect("the table of values");
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let values = row.split('|').nth(2).expect("three columns").split('`').skip(1).step_by(2);
        for value in values.filter(|value| !value.starts_with("spool.max_")) {
            let pointer = format!("/{}", value.replace('.', "/"));
            assert!(json.pointer(&pointer).is_some(), "{value} is not in {json}");
        }
    }
}

#[test]
fn the_documented_line_has_the_documented_length() {
    let line = DOCUMENT.lines().find(|line| line.starts_with("requests,")).expect("a line of `requests`");
    assert_eq!(line.len() + 1, 176, "with its line break");
}

#[test]
fn the_documented_sizes_follow_from_the_length_of_a_line() {
    let rows = DOCUMENT.lines().filter(|line| line.contains(" kB |"));
    let cells = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let mut compared = 0;
    for cells in cells {
        let bytes = 170.0 * cells[0].replace(',', "").parse::<f64>().expect("requests a second");
        let expected = [
            format!("{} kB", bytes / 1e3),
            span(32.0 * 1024.0 * 1024.0 / bytes),
            span(1024.0 * 1024.0 * 1024.0 / bytes),
            size(bytes * 3600.0),
            size(bytes * 86400.0),
        ];
        assert_eq!(cells[1..], expected);
        compared += 1;
    }
    assert_eq!(compared, 3);
}

/// Formats a time as the document does.
fn span(seconds: f64) -> String {
    let (minutes, rest) = ((seconds / 60.0) as u64, (seconds % 60.0) as u64);
    match seconds {
        seconds if seconds < 60.0 => format!("{rest} s"),
        seconds if seconds < 600.0 => format!("{minutes} min {rest} s"),
        seconds if seconds < 3600.0 => format!("{minutes} min"),
        seconds if seconds < 36_000.0 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} h", minutes / 60),
    }
}

fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1e9 => format!("{:.0} MB", bytes / 1e6),
        bytes if bytes < 1e10 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} GB", bytes / 1e9),
    }
}

/// Returns each line of each block of SQL.
fn statements() -> Vec<&'static str> {
    let blocks = DOCUMENT.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).collect()
}

/// Returns the name and the query of the rows that have a query.
fn alerts() -> Vec<(&'static str, &'static str)> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| ") && line.contains("`SELECT "));
    rows.map(|row| {
        let name = row.trim_matches('|').split('|').next().unwrap_or_default().trim();
        let query = row.split('`').nth(1).unwrap_or_default();
        (name, query)
    })
    .collect()
}
