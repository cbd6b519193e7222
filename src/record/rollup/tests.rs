//! Counts are exact, whatever counts, reads and takes them at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use super::*;
use crate::{
    line_protocol::{StaticTags, parse},
    settings::Settings,
};

mod exact;

fn rollup(keys: usize) -> Rollup {
    Rollup::with_shards(4, Boundaries::fine(), keys)
}

fn template(rollup: &Rollup) -> LineTemplate {
    let tags = StaticTags::new("shop", Some("one"), &BTreeMap::from([("zone".into(), "a b".into())]));
    LineTemplate::new(tags, Some(rollup.boundaries()), rollup.boundaries())
}

fn request<'a>(rollup: &Rollup, resource: &'a str, status: u16, nanoseconds: u64) -> EndedRequest<'a> {
    let route = RouteKey::Text("GET", resource);
    let error_code = if status >= 400 { "11009" } else { "" };
    let started = rollup.start(route);
    EndedRequest {
        started,
        route,
        status,
        error_code,
        tags: b"",
        nanoseconds,
        kept: status >= 400,
        trace: None,
    }
}

fn lines(rollup: &Rollup) -> Vec<String> {
    let mut lines = Vec::new();
    rollup.write_interval(&template(rollup), &mut |line, points| {
        assert_eq!((points, line.iter().filter(|byte| **byte == b'\n').count()), (1, 1));
        lines.push(String::from_utf8(line.to_vec()).expect("text"));
        true
    });
    lines
}

/// Returns the sum of a field over lines.
fn sum(lines: &[String], field: &str) -> u64 {
    let prefix = format!("{field}=");
    let fields = lines.iter().flat_map(|line| line.rsplit(' ').nth(1).expect("fields").split(','));
    let values =
        fields.filter_map(|pair| pair.strip_prefix(&prefix)?.trim_end_matches('i').parse::<u64>().ok());
    values.sum()
}

#[test]
fn a_line_has_all_counts_of_its_interval() {
    let rollup = rollup(10);
    for milliseconds in [10, 20, 30] {
        rollup.end(&request(&rollup, "/items/{id}", 404, milliseconds * 1_000_000));
    }
    let lines = lines(&rollup);
    assert_eq!(lines.len(), 1);
    let (head, rest) = lines[0].split_once(" bucket_").expect("fields");
    assert_eq!(
        head,
        "requests_rollup,error_code=11009,instance=one,route=GET:/items/{id},service=shop,status_code=404,zone=a\\ b"
    );
    let fields: Vec<_> = rest.split(' ').next().expect("fields").split(',').collect();
    assert_eq!(fields[3..6], ["count=3i", "execution_time_max=0.03", "execution_time_min=0.01"]);
    assert_eq!(fields[9], "execution_time_sum=0.06");
    assert!(fields[10].starts_with("interval=0.0") && fields[11] == "kept=3i", "{fields:?}");
    parse(lines[0].trim_end().as_bytes()).expect("our own parser reads it");
    assert!(super::tests::lines(&rollup).is_empty(), "nothing happened since");
}

/// Whatever a line has, its own tags and fields: no tag of a handler may have the name, or InfluxDB
/// 3 refuses the line.
#[test]
fn no_column_of_a_line_can_be_the_name_of_a_tag() {
    let rollup = rollup(10);
    let _running = request(&rollup, "/slow", 200, 1);
    for bucket in 0..rollup.boundaries().buckets() {
        let nanoseconds = rollup.boundaries().end(bucket).unwrap_or(u64::MAX);
        let trace = Some([b'1'; 32]);
        rollup.end(&EndedRequest { trace, ..request(&rollup, "/a", 500, nanoseconds) });
    }
    let tags = StaticTags::new("shop", Some("one"), &BTreeMap::new());
    let template = LineTemplate::new(tags, Some(rollup.boundaries()), rollup.boundaries());
    let mut columns = BTreeSet::new();
    rollup.write_interval(&template, &mut |line, _| {
        let line = str::from_utf8(line).expect("text");
        let (head, rest) = line.split_once(' ').expect("fields");
        let pairs = head
            .split(',')
            .skip(1)
            .chain(rest.split(' ').next().into_iter().flat_map(|fields| fields.split(',')));
        columns.extend(pairs.map(|pair| pair.split('=').next().expect("a name").to_owned()));
        true
    });
    assert_eq!(columns.len(), 5 + 11 + rollup.boundaries().buckets(), "{columns:?}");
    for column in columns {
        let mut settings = Settings::new("shop");
        settings.rollup.interval = Some(Duration::from_secs(10));
        let mut as_static = settings.clone();
        as_static.tags.insert(column.clone(), "a".to_owned());
        let error = as_static.validate().expect_err(&column).to_string();
        assert!(error.starts_with(&format!("setting `tags.{column}`: ")), "{error}");
        settings.rollup.tags = vec![column.clone()];
        let error = settings.validate().expect_err(&column).to_string();
        assert!(error.starts_with(&format!("setting `rollup.tags` is `{column}`: ")), "{error}");
    }
}

#[test]
fn running_requests_have_a_line_of_their_route() {
    let rollup = rollup(10);
    let running = request(&rollup, "/slow", 200, 1);
    let found = lines(&rollup);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains(",route=GET:/slow,service=shop,zone=a\\ b running=1i "), "{found:?}");
    rollup.end(&running);
    assert_eq!(sum(&lines(&rollup), "count"), 1);
    assert!(lines(&rollup).is_empty());
}

#[test]
fn refused_lines_stay_in_the_interval() {
    let rollup = rollup(10);
    for number in 0..30u16 {
        rollup.end(&request(&rollup, "/a", 200 + number % 3, 1_000));
    }
    let mut calls = 0;
    let taken = rollup.write_interval(&template(&rollup), &mut |_, _| {
        calls += 1;
        calls == 2
    });
    let counts = rollup.snapshot();
    assert_eq!((calls, taken, counts.rolled_up, counts.open), (3, 1, 10, 20));
    assert!(counts.stats().balances());
    rollup.end(&request(&rollup, "/a", 200, 1_000));
    assert_eq!(sum(&lines(&rollup), "count"), 21);
    assert_eq!(rollup.totals().keys.iter().map(|(_, sum)| sum.tally.count).sum::<u64>(), 31);
}

#[test]
fn a_line_has_the_trace_of_its_slowest_request_from_whatever_shard() {
    let rollup = rollup(10);
    let end = |nanoseconds, trace: u8| {
        let trace = (trace > 0).then_some([b'0' + trace; 32]);
        rollup.end(&EndedRequest { trace, ..request(&rollup, "/a", 200, nanoseconds) });
    };
    let example = |lines: &[String]| {
        let (_, rest) = lines[0].split_once("example_trace_id=\"")?;
        rest.split('"').next().map(|id| (id.len(), id[..1].to_owned()))
    };
    let of = |trace: &str| Some((32, trace.to_owned()));
    end(50, 0);
    assert_eq!(example(&lines(&rollup)), None);
    // The others run on threads, and therefore on shards, of their own.
    thread::scope(|scope| {
        for (nanoseconds, trace) in [(10, 1), (30, 2), (50, 0), (20, 3)] {
            scope.spawn(move || end(nanoseconds, trace));
        }
    });
    // If a line is refused, its exemplar stays for the next interval.
    rollup.write_interval(&template(&rollup), &mut |_, _| false);
    assert_eq!(rollup.totals().keys[0].1.tally.count, 5);
    assert_eq!(example(&lines(&rollup)), of("2"));
    end(5, 4);
    assert_eq!(example(&lines(&rollup)), of("4"), "the interval before has no part in it");
    end(5, 5);
    end(5, 6);
    assert_eq!(example(&lines(&rollup)), of("5"), "the first of two that took as long");
}

#[test]
fn keys_beyond_the_limit_count_as_other_and_keep_their_status() {
    let rollup = rollup(5);
    for number in 0..100 {
        let resource = format!("/{number}");
        rollup.end(&request(&rollup, &resource, if number % 2 == 0 { 200 } else { 500 }, 1_000));
    }
    let lines = lines(&rollup);
    assert_eq!((lines.len(), sum(&lines, "count")), (7, 100));
    let other: Vec<_> = lines.iter().filter(|line| line.contains("route=GET:other")).collect();
    assert!(other.iter().any(|line| line.contains("service=shop,status_code=200,")));
    assert!(other.iter().any(|line| line.contains("error_code=other,") && line.contains("status_code=500,")));
}

#[test]
fn keys_beyond_the_limit_take_no_shared_lock() {
    let rollup = std::sync::Arc::new(rollup(2));
    let end = |rollup: &Rollup, number: u32| {
        let tag = format!(",number={number}");
        let ended = request(rollup, "/a", 200, 1_000);
        rollup.end(&EndedRequest { tags: tag.as_bytes(), ..ended });
    };
    let (ready, wait_until_ready) = std::sync::mpsc::channel();
    let (go, wait_to_go) = std::sync::mpsc::channel::<()>();
    let (sender, receiver) = std::sync::mpsc::channel();
    let other = std::sync::Arc::clone(&rollup);
    let counting = thread::spawn(move || {
        (0..10).for_each(|number| end(&other, number));
        ready.send(()).expect("the test waits");
        wait_to_go.recv().expect("the test goes on");
        (10..1_000).for_each(|number| end(&other, number));
        sender.send(()).expect("the test waits");
    });
    wait_until_ready.recv().expect("it counts");
    let guard = rollup.keys.lock();
    go.send(()).expect("it waits");
    let done = receiver.recv_timeout(std::time::Duration::from_secs(10));
    drop(guard);
    counting.join().expect("no panic");
    assert!(done.is_ok(), "a key beyond the limit waits for the lock of all keys");
    assert_eq!(sum(&lines(&rollup), "count"), 1_000);
}

#[test]
fn keys_differ_by_each_of_their_parts() {
    let rollup = rollup(100);
    let mut expected = 0;
    for resource in ["/a", "/b"] {
        for status in [200, 201] {
            for error_code in ["", "x", "y"] {
                for tags in [&b""[..], b",t=1", b",t=2"] {
                    for _ in 0..2 {
                        let ended = request(&rollup, resource, status, 5);
                        rollup.end(&EndedRequest { error_code, tags, ..ended });
                    }
                    expected += 1;
                }
            }
        }
    }
    let lines = lines(&rollup);
    assert_eq!(lines.len(), expected);
    assert!(lines.iter().all(|line| line.contains(" bucket_0.00000131=2i,count=2i,")), "{lines:?}");
}

#[test]
fn usual_and_other_requests_count_into_the_same_line() {
    let rollup = rollup(200);
    let mut expected = BTreeMap::new();
    for number in 0..150u32 {
        let resource = format!("/{number}");
        let route = rollup.route("GET", &resource);
        for status in [200, 204] {
            // There are more keys than places for usual ones, in changing order.
            for _ in 0..=number % 3 {
                let started = rollup.start(RouteKey::Known(route));
                rollup.end_plain(started, route, status, 1_000, number == 7);
            }
            rollup.end(&request(&rollup, &resource, status, 1_000));
            *expected.entry(if number < 100 { resource.clone() } else { "other".to_owned() }).or_default() +=
                u64::from(number % 3) + 2;
        }
    }
    assert_eq!(rollup.snapshot().kept, 2 * 2);
    let totals = rollup.totals().keys;
    let mut found = BTreeMap::<String, u64>::new();
    for (key, sum) in totals {
        *found.entry(key.route.resource.to_string()).or_default() += sum.tally.count;
    }
    assert_eq!(found, expected);
    assert!(rollup.snapshot().stats().balances());
}

#[test]
fn every_snapshot_balances_and_nothing_is_lost_between_threads() {
    const REQUESTS: u64 = 20_000;
    let rollup = rollup(8);
    let mut written = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let rollup = &rollup;
                scope.spawn(move || {
                    for number in 0..REQUESTS {
                        let resource = ["/a", "/b", "/c"][(number % 3) as usize];
                        let ended = request(rollup, resource, 200 + (number % 2) as u16, number * 1_000);
                        // Some end on another thread than they started on.
                        if number % 100 == worker {
                            thread::scope(|inner| _ = inner.spawn(|| rollup.end(&ended)));
                        } else {
                            rollup.end(&ended);
                        }
                    }
                })
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            assert!(rollup.snapshot().stats().balances());
            written.extend(lines(&rollup));
            rollup.totals();
        }
    });
    written.extend(lines(&rollup));
    let counts = rollup.snapshot();
    let expected = RollupCounts {
        started: 4 * REQUESTS,
        ended: 4 * REQUESTS,
        left_out: 0,
        running: 0,
        kept: 0,
        open: 0,
        rolled_up: 4 * REQUESTS,
    };
    assert_eq!((counts, sum(&written, "count")), (expected, 4 * REQUESTS));
    let keys = rollup.totals().keys;
    assert_eq!(keys.len(), 6);
    for (_, sum) in keys {
        assert_eq!(sum.buckets.iter().sum::<u64>(), sum.tally.count);
    }
}

#[test]
fn stamps_are_unique_in_a_series() {
    let rollup = rollup(10);
    let mut stamps = std::collections::HashSet::new();
    for _ in 0..1_000 {
        rollup.end(&request(&rollup, "/a", 200, 1_000));
        let line = lines(&rollup).pop().expect("a line");
        assert!(stamps.insert(line.rsplit(' ').next().expect("a stamp").to_owned()));
    }
}
