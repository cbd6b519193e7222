//! Compares the cost of both clients. It is run by hand:
//! `cargo test --release --lib sink::tests::side_by_side -- --ignored --nocapture --test-threads 1`

use std::{
    env, fs,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Batch, InfluxClient, influx, settings,
    support::{
        live::{self, NGINX},
        process::{Process, free_port},
    },
};

/// Runs each client in a process of its own, so that its memory is measured alone, against an nginx
/// that discards what it reads.
#[tokio::test]
#[ignore = "a measurement"]
async fn clients_side_by_side() {
    if !live::ready("clients_side_by_side", &[NGINX]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let folder = directory.path().display();
    let configuration = format!(
        "daemon off; master_process off; pid {folder}/pid; events {{}} http {{ access_log off; \
         client_body_temp_path {folder}/body; client_body_buffer_size 1m; proxy_temp_path {folder}/p; \
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; \
         server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }} }}"
    );
    fs::write(directory.path().join("nginx.conf"), configuration).expect("a writable directory");
    let mut nginx = Command::new(NGINX.path());
    nginx
        .arg("-p")
        .arg(directory.path())
        .arg("-c")
        .arg(directory.path().join("nginx.conf"))
        .arg("-e")
        .arg("error.log");
    let _nginx = Process::start("nginx", &mut nginx, directory.path());
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    live::say("| client | body | points a second | CPU a point | peak memory |\n|---|---|---|---|---|");
    for gzip in ["false", "true"] {
        for client in ["none", "Influxdb2", "Reqwest"] {
            let status = Command::new(env::current_exe().expect("this binary"))
                .args(["--exact", "delivery::sink::tests::side_by_side::one_client", "--ignored", "--quiet"])
                .env("TEST_CLIENT", client)
                .env("TEST_GZIP", gzip)
                .env("TEST_URL", format!("http://127.0.0.1:{port}"))
                .stdout(std::process::Stdio::null())
                .status();
            assert!(status.expect("a child").success());
        }
    }
}

#[tokio::test]
#[ignore = "run as a child by the measurement"]
async fn one_client() {
    let kind = env::var("TEST_CLIENT").expect("set by the parent");
    let gzip = env::var("TEST_GZIP").expect("set by the parent") == "true";
    let lines = usual_lines();
    let (mut elapsed, mut processor) = (Duration::ZERO, 0);
    // `none` measures what the batch and the test itself use.
    if kind != "none" {
        let client = if kind == "Reqwest" { InfluxClient::Reqwest } else { InfluxClient::Influxdb2 };
        let mut settings = settings(client, &env::var("TEST_URL").expect("set by the parent"));
        settings.gzip = Some(gzip);
        let sink = influx(&settings).expect("settings that work");
        sink.write(&lines).await.expect("204");
        let (begin, ticks) = (Instant::now(), processor_ticks());
        for _ in 0..BATCHES {
            sink.write(&lines).await.expect("204");
        }
        (elapsed, processor) = (begin.elapsed(), processor_ticks() - ticks);
    }
    let points = (LINES * BATCHES) as f64;
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    live::say(&format!(
        "| {kind} | {} | {:.0} | {:.0} ns | {peak} |",
        if gzip { "gzip" } else { "plain" },
        if elapsed.is_zero() { 0.0 } else { points / elapsed.as_secs_f64() },
        // A tick is 10 milliseconds.
        processor as f64 * 1e7 / points,
    ));
}

/// Lines of a service whose proxy assigns random request ids, in a full batch.
fn usual_lines() -> Batch {
    let mut random = fastrand::Rng::with_seed(1);
    let text: String = (0..LINES)
        .map(|number| {
            let (time, id) = (random.f64() / 10.0, random.u128(..));
            let time_stamp = 1_780_000_000_000_000_000 + number * 200_000;
            format!(
                "requests,instance=shop-7d9f,route=GET:/items/{{id}},service=shop,status_code=200 \
                 execution_time={time:.9},request_id=\"{id:036x}\" {time_stamp}\n"
            )
        })
        .collect();
    Batch::new(text.into(), LINES, 1, SystemTime::UNIX_EPOCH)
}

fn processor_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    ticks(11) + ticks(12)
}

const LINES: usize = 4_400;
const BATCHES: usize = 1_000;
