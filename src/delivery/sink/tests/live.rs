//! Tests against real databases.

use std::sync::Arc;

use super::{
    AUTHORIZATION, InfluxClient, Sink, TARGET, WriteErrorKind, batch, for_each_client, influx, kind,
    settings,
    support::{
        influx::{Influx, InfluxOptions},
        live::{self, INFLUXD, NGINX, VICTORIA_METRICS},
        nginx::{self, Fault, Nginx, Upstream},
        victoria::{Series, Victoria},
    },
    write,
};
use crate::{
    delivery::batch::Batch,
    delivery::sink::{Hint, Refused},
    settings::{InfluxApi, InfluxSettings, Token},
    stats::RejectReason,
};

for_each_client!(
    points_arrive_behind_nginx,
    points_arrive_at_victoria_metrics,
    victoria_metrics_keeps_samples_not_points
);

const TOKEN: &str = "hunter2-secret";

async fn points_arrive_behind_nginx(client: InfluxClient) {
    if !live::ready("points_arrive_behind_nginx", &[INFLUXD, NGINX]) {
        return;
    }
    let database = Influx::start().await;
    let mut nginx = Nginx::before(Upstream::Influx(database.port()), TOKEN).await;
    let mut settings = settings(client, &nginx.url());
    settings.bucket = "test".to_owned();
    settings.gzip = Some(true);
    let sink = influx(&settings).expect("settings that work");

    assert_eq!(sink.probe().await.expect_err("no database yet").kind, TARGET);
    database.create_database("test").await;
    sink.probe().await.expect("now there is one");
    let written = write(&sink, 5_000).await.expect("204");
    assert!(written.wire_bytes < batch(5_000).bytes().len() as u64 / 3, "compressed");
    assert_eq!(database.count("test", "requests", "execution_time").await, 5_000);

    for status in nginx::STATUSES {
        nginx.set_fault(Fault::Status(status));
        let kind = kind(&sink, 1).await;
        let expected = match status {
            403 => AUTHORIZATION,
            // nginx answers these with HTML pages.
            400 | 404 => super::CONFIGURATION,
            413 => WriteErrorKind::TooLarge,
            500 => WriteErrorKind::Transient,
            _ => WriteErrorKind::Throttled { retry_after: None },
        };
        assert_eq!(kind, expected, "{status}");
    }
    nginx.set_fault(Fault::Unauthorized);
    assert_eq!(kind(&sink, 1).await, AUTHORIZATION);
    nginx.set_fault(Fault::Close);
    assert_eq!(kind(&sink, 1).await, WriteErrorKind::Broken);
    nginx.heal();
    nginx.stop();
    assert_eq!(kind(&sink, 1).await, WriteErrorKind::Transient);
    nginx.resume_service().await;

    settings.gzip = Some(false);
    let plain = influx(&settings).expect("settings that work");
    assert_eq!(kind(&plain, 30_000).await, WriteErrorKind::TooLarge, "nginx takes 1 MiB");
    write(&plain, 5_000).await.expect("the same points again are the same points");
    assert_eq!(database.count("test", "requests", "execution_time").await, 5_000);
    settings.token = "another".into();
    assert_eq!(kind(&influx(&settings).expect("settings that work"), 1).await, AUTHORIZATION);
}

async fn points_arrive_at_victoria_metrics(client: InfluxClient) {
    if !live::ready("points_arrive_at_victoria_metrics", &[VICTORIA_METRICS]) {
        return;
    }
    let victoria = Victoria::start().await;
    let mut settings = settings(client, &victoria.url());
    settings.gzip = Some(true);
    let sink = influx(&settings).expect("settings that work");
    sink.probe().await.expect("204");
    let written = write(&sink, 1_000).await.expect("204");
    assert!(written.wire_bytes < batch(1_000).bytes().len() as u64);
    let long = format!("m,tag={} f=1 1\n", "x".repeat(300_000));
    let long = crate::delivery::batch::Batch::new(long.into(), 1, 1, std::time::SystemTime::UNIX_EPOCH);
    let WriteErrorKind::Refused(refused) = sink.write(&long).await.expect_err("too long").kind else {
        panic!("a line of 300,000 bytes is refused");
    };
    assert_eq!(refused.reason, RejectReason::TooLarge);
}

/// Checks what `docs/http-client.md` states: writing twice is not harmless here, and texts are not
/// kept as texts.
async fn victoria_metrics_keeps_samples_not_points(client: InfluxClient) {
    if !live::ready("victoria_metrics_keeps_samples_not_points", &[VICTORIA_METRICS]) {
        return;
    }
    let victoria = Victoria::start().await;
    let sink = super::sink(client, &victoria.url());
    // Two points of one series within a millisecond, and one with texts that look like numbers.
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    let (lines, texts) = (
        [format!("twice v=1 {now}000001"), format!("twice v=2 {now}000002")],
        [format!("texts id=\"12345\",word=\"abc\",large=\"1e400\" {now}000000")],
    );
    let lines = Batch::from_lines(lines).expect("two lines");
    for _ in 0..2 {
        sink.write(&lines).await.expect("204");
    }
    let twice = visible(&victoria, "twice_v", 4).await;
    assert!(twice[0].samples.iter().all(|(time, _)| *time == i64::try_from(now).expect("a time")));
    sink.write(&Batch::from_lines(texts).expect("a line")).await.expect("204");
    assert_eq!(visible(&victoria, "texts_id", 1).await[0].samples[0].1, 12345.0);
    assert_eq!(visible(&victoria, "texts_word", 1).await[0].samples[0].1, 0.0);
}

/// Returns the series of this name once they have this many samples. A new series is visible only
/// after a moment.
async fn visible(victoria: &Victoria, name: &str, samples: usize) -> Vec<Series> {
    let mut series = Vec::new();
    for _ in 0..100 {
        series = victoria.export(name).await;
        if series.iter().map(|series| series.samples.len()).sum::<usize>() == samples {
            return series;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not {samples} samples of {name}: {series:?}");
}

/// Debian's InfluxDB, used directly at its own endpoint.
#[cfg(feature = "reqwest")]
mod version_1 {
    use super::*;

    fn sink(database: &Influx, change: impl FnOnce(&mut InfluxSettings)) -> Arc<dyn Sink> {
        let mut settings = settings(InfluxClient::Reqwest, &database.url());
        settings.api = InfluxApi::V1;
        settings.bucket = "test".to_owned();
        settings.token = Token::default();
        change(&mut settings);
        influx(&settings).expect("settings that work")
    }

    fn lines(text: &str) -> crate::delivery::batch::Batch {
        let count = text.matches('\n').count();
        crate::delivery::batch::Batch::new(
            text.to_owned().into(),
            count,
            1,
            std::time::SystemTime::UNIX_EPOCH,
        )
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn points_arrive_with_user_and_password() {
        if !live::ready("points_arrive_with_user_and_password", &[INFLUXD]) {
            return;
        }
        let credentials = Some(("root".to_owned(), "hunter2".to_owned()));
        let database = Influx::start_with(InfluxOptions { credentials, ..InfluxOptions::default() }).await;
        database.create_database("test").await;
        let login = |settings: &mut InfluxSettings| {
            settings.username = "root".to_owned();
            settings.password = "hunter2".into();
            settings.gzip = Some(true);
        };
        let good = sink(&database, login);
        good.probe().await.expect("user and password are right");
        write(&good, 5_000).await.expect("204");
        assert_eq!(database.count("test", "requests", "execution_time").await, 5_000);
        let wrong = sink(&database, |settings| {
            login(settings);
            settings.password = "hunter3".into();
        });
        let error = write(&wrong, 1).await.expect_err("another password");
        assert_eq!(error.kind, AUTHORIZATION);
        assert!(!error.message().contains("hunter"), "{error}");
        assert_eq!(wrong.probe().await.expect_err("another password").kind, AUTHORIZATION);
        assert_eq!(kind(&sink(&database, |_| {}), 1).await, AUTHORIZATION);
        let elsewhere = sink(&database, |settings| {
            login(settings);
            settings.bucket = "nowhere".to_owned();
        });
        assert_eq!(kind(&elsewhere, 1).await, TARGET);
        let policy = sink(&database, |settings| {
            login(settings);
            settings.retention_policy = Some("never".to_owned());
        });
        assert_eq!(kind(&policy, 1).await, TARGET);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn refusals_of_the_server_are_classified() {
        if !live::ready("refusals_of_the_server_are_classified", &[INFLUXD]) {
            return;
        }
        let database = Influx::start().await;
        database.create_database("test").await;
        let sink = sink(&database, |settings| settings.gzip = Some(false));
        let refused = async |text: &str| match sink.write(&lines(text)).await {
            Err(error) => match error.kind {
                WriteErrorKind::Refused(refused) => Refused { proof: Box::default(), ..refused },
                other => panic!("{text}: {other:?}"),
            },
            Ok(_) => panic!("{text} is written"),
        };
        let malformed = refused("m f=1 1\nm,t= f=2 2\nm f=3 3\n").await;
        let hint = Hint::Quoted(vec!["m,t= f=2 2".to_owned()]);
        let reason = RejectReason::Malformed;
        assert_eq!(malformed, Refused { reason, hint, ..Refused::default() });
        let conflict = refused("m f=4i 4\nm f=5 5\n").await;
        let hint = Hint::Field { measurement: "m".to_owned(), field: "f".to_owned() };
        let reason = RejectReason::FieldType;
        assert_eq!(conflict, Refused { reason, hint, ..Refused::default() });
        assert_eq!(database.count("test", "m", "f").await, 3);

        database.create_database("fresh").await;
        let fresh = self::sink(&database, |settings| settings.bucket = "fresh".to_owned());
        let body = lines("n f=5i 5\nn f=6 6\n");
        let WriteErrorKind::Refused(first) = fresh.write(&body).await.expect_err("two types").kind else {
            panic!("two types in the first body of a shard are refused");
        };
        assert!(first.resend_first, "{first:?}");
        assert_eq!(database.count("fresh", "n", "f").await, 0, "nothing of that shard is written");
        let WriteErrorKind::Refused(second) = fresh.write(&body).await.expect_err("two types").kind else {
            panic!("and again");
        };
        assert!(!second.resend_first, "{second:?}");
        assert_eq!(database.count("fresh", "n", "f").await, 1);

        let policy = "CREATE RETENTION POLICY \"short\" ON \"test\" DURATION 1h REPLICATION 1";
        database.query("", policy).await;
        let short = self::sink(&database, |settings| settings.retention_policy = Some("short".to_owned()));
        let WriteErrorKind::Refused(old) = short.write(&lines("m f=1 1\n")).await.expect_err("too old").kind
        else {
            panic!("points of 1970 are refused");
        };
        assert_eq!(old.reason, RejectReason::Retention);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_endpoint_is_recognized() {
        if !live::ready("another_endpoint_is_recognized", &[INFLUXD]) {
            return;
        }
        let database = Influx::start().await;
        database.create_database("test").await;
        for api in [InfluxApi::V2, InfluxApi::V3] {
            let sink = sink(&database, |settings| settings.api = api);
            let error = write(&sink, 1).await.expect_err("1.6.7 has only its own");
            assert_eq!(error.kind, super::super::CONFIGURATION);
            assert!(error.message().contains("api = \"v1\""), "{error}");
        }
    }
}
