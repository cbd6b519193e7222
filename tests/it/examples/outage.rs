//! The guided outage, with a real database that is killed and started again.

use crate::support::{
    example::{Example, LastLine},
    influx::Influx,
    live::{self, INFLUXD},
};

/// The numbers of a line of the ledger.
#[derive(Debug, Default)]
struct LedgerCounts {
    written: u64,
    spooled: u64,
    lost: u64,
    line: String,
}

/// Returns the latest line of the ledger, which begins with spaces. Log lines begin with a time or
/// a colour.
fn latest(output: &str) -> LedgerCounts {
    let numbers =
        |line: &str| line.split_whitespace().map_while(|word| word.parse().ok()).collect::<Vec<u64>>();
    let lines = output.lines().filter(|line| line.starts_with(' ')).rev();
    for line in lines {
        if let [_accepted, written, _memory, spooled, lost] = numbers(line)[..] {
            return LedgerCounts { written, spooled, lost, line: line.to_owned() };
        }
    }
    LedgerCounts::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_spools_while_the_database_is_away_and_drains_after() {
    if !live::ready("outage_spools_while_the_database_is_away_and_drains_after", &[INFLUXD]) {
        return;
    }
    let mut influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let mut example = Example::start("outage", &[&influx.url()]);
    example.wait_until("points are written", |output| latest(output).written > 0).await;
    influx.kill();
    example.wait_until("the spool fills", |output| latest(output).spooled >= 40).await;
    influx.restart().await;
    let drained = |output: &str| {
        let ledger = latest(output);
        ledger.spooled == 0 && ledger.line.ends_with("healthy")
    };
    example.wait_until("the spool drains", drained).await;
    assert_eq!(latest(&example.output()).lost, 0);

    // When it ends during the outage, the next run finds its points.
    influx.kill();
    example.wait_until("the spool fills again", |output| latest(output).spooled >= 20).await;
    let first = example.terminate().await;
    assert!(first.spooled >= 20, "{first:?}");
    assert_eq!((first.rejected, first.dropped, first.written + first.spooled), (0, 0, first.accepted));
    influx.restart().await;
    let url = influx.url();
    let mut example = Example::start_in("outage", example.into_directory(), |command| {
        command.arg(&url);
    });
    let recovered = format!("{} recovered from an earlier run", first.spooled);
    let drained = |output: &str| {
        let ledger = latest(output);
        ledger.spooled == 0 && ledger.line.ends_with(&recovered)
    };
    example.wait_until("what was left is sent", drained).await;
    let second = example.terminate().await;
    assert_eq!(second.written, second.accepted + first.spooled);
    assert_eq!(LastLine { written: second.accepted, ..second }, LastLine::all_written(second.accepted));
    assert_eq!(stored(&influx).await, first.accepted + second.accepted);
}

async fn stored(influx: &Influx) -> u64 {
    let requests = influx.count("monitoring", "requests", "execution_time").await;
    requests + influx.count("monitoring", "errors", "request_id").await
}
