//! The examples of traces, connections and frozen functions: `traced`, `connections`, `frozen`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    example::{Example, LastLine, program, read_points},
    http::Http,
    influx::Stored,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const BAD_TRACE: &str = "4BF92F3577B34DA6";

fn text<'p>(point: &'p Stored, key: &str) -> &'p str {
    point.fields.get(key).and_then(|value| value.as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_line_trace_and_point_have_the_same_ids() {
    let mut example = Example::start("traced", &["127.0.0.1:0"]);
    let url = example.url().await;
    let request = Request::get(format!("{url}/hello/world"))
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let request = request.body(Body::empty()).expect("a valid request");
    assert_eq!(Http::new().send(request).await.expect("an answer").text(), "hello world\n");
    // Not valid: neither has an id.
    let bad = Request::get(format!("{url}/hello/bad")).header("traceparent", format!("00-{BAD_TRACE}-1-01"));
    let bad = bad.body(Body::empty()).expect("a valid request");
    Http::new().send(bad).await.expect("an answer");
    assert_eq!(example.terminate().await, LastLine::all_written(2));
    let mut points = example.points();
    let requests = points.get_mut("requests").expect("two requests");
    // The buffer has a shard for each thread, so a file need not have them in order.
    requests.sort_by_key(|point| point.time);
    let [point, bad] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((text(point, "trace_id"), text(bad, "trace_id")), (TRACE, ""));
    let output = example.output();
    let lines: Vec<_> = output.lines().filter(|line| line.contains("said hello")).collect();
    let [line, bad_line] = lines[..] else { panic!("{output}") };
    for (point, line) in [(point, line), (bad, bad_line)] {
        let id = text(point, "request_id");
        assert!(!id.is_empty() && line.contains(id), "{id}: {line}");
    }
    assert!(line.contains(TRACE) && !bad_line.contains(BAD_TRACE), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_and_a_stream_are_points_when_they_end() {
    let mut example = Example::start("connections", &["127.0.0.1:0"]);
    let url = example.url().await;
    let events = Http::new().get(&format!("{url}/events")).await.expect("an answer");
    assert_eq!(events.text().matches("data: event").count(), 3, "{}", events.text());
    let address = url.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}/echo"), stream).await.expect("upgrades");
    for _ in 0..2 {
        socket.send(Message::text("hello")).await.expect("sends");
        assert_eq!(socket.next().await.expect("an echo").expect("no error"), Message::text("hello"));
    }
    socket.close(None).await.expect("closes");
    while socket.next().await.is_some() {}
    assert_eq!(example.terminate().await, LastLine::all_written(4));
    let points = example.points();
    let told = |point: &Stored| {
        let count = |key: &str| point.fields.get(key).and_then(|count| count.as_i64()).unwrap_or(0);
        let (connection, end) = (point.tag("connection").to_owned(), point.tag("end").to_owned());
        (connection, end, count("messages_in"), count("messages_out"))
    };
    let mut connections: Vec<_> = points["connections"].iter().map(told).collect();
    connections.sort();
    let expected = [("echo", "closed", 2, 2), ("events", "complete", 0, 3)];
    assert_eq!(connections, expected.map(|(kind, end, i, o)| (kind.to_owned(), end.to_owned(), i, o)));
    let ids = |measurement: &str| {
        let mut ids: Vec<_> = points[measurement].iter().map(|point| text(point, "request_id")).collect();
        ids.sort_unstable();
        ids.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids("requests"), ids("connections"));
}

/// Points are written before the next request arrives, in either order. They wait on disk if no
/// database accepts them.
#[test]
fn a_frozen_function_writes_its_points_before_or_after_its_answer() {
    for (order, database) in [("before", ""), ("after", ""), ("after", "http://127.0.0.1:1")] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(program("frozen"));
        command.arg(order).current_dir(directory.path()).env("TMPDIR", directory.path());
        if !database.is_empty() {
            command.env("INFLUX_URL", database);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the example starts");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(b"one\ntwo\n").expect("it reads");
        drop(input);
        let output = child.wait_with_output().expect("it ends by itself");
        assert!(output.status.success(), "{output:?}");
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<_> = output.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>()).collect();
        let said: Vec<_> = lines.iter().map(|line| line[0]).collect();
        let one = if order == "before" { ["flush:", "answer:"] } else { ["answer:", "flush:"] };
        assert_eq!(said, [one[0], one[1], one[0], one[1], "monitoring:"], "{order}: {output}");
        let flushed = lines.iter().filter(|line| line[0] == "flush:");
        // After a failure they may wait in memory for the next flush.
        let outcomes: &[_] = if database.is_empty() { &["written"] } else { &["in", "on"] };
        assert!(flushed.into_iter().all(|line| outcomes.contains(&line[1])), "{order}: {output}");
        let last = output.lines().last().unwrap_or_default();
        if database.is_empty() {
            assert!(last.contains("accepted 2") && last.contains("written 2"), "{last}");
            let entries = std::fs::read_dir(directory.path().join("monitoring-data")).expect("the files");
            let files = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
            let texts = files.map(|file| std::fs::read_to_string(file).expect("text"));
            let points = read_points(&texts.collect::<String>());
            assert_eq!(points["requests"].len(), 2);
        } else {
            assert!(last.contains("spooled 2") && last.contains("dropped 0"), "{last}");
        }
    }
}
