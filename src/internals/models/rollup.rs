//! An interval that ends while requests start and end.

use loom::{sync::Arc, thread};

use crate::{
    line_protocol::StaticTags,
    record::rollup::{Boundaries, EndedRequest, LineTemplate, Rollup, RouteKey},
    sync::shard::take_shard,
};

/// Two requests end on two shards, one of them on another shard than it started on. One thread ends
/// an interval, and another one reads the totals.
pub(super) fn no_count_is_lost_between_intervals() {
    let rollup = Arc::new(Rollup::with_shards(2, Boundaries::new(&[1_000]), 4));
    let route = rollup.route("GET", "/a");
    let elsewhere = rollup.start(RouteKey::Known(route));
    let ending = {
        let rollup = Arc::clone(&rollup);
        thread::spawn(move || {
            take_shard(1);
            end(&rollup, elsewhere);
        })
    };
    let writing = {
        let rollup = Arc::clone(&rollup);
        thread::spawn(move || {
            let counted = write(&rollup);
            assert!(rollup.snapshot().stats().balances());
            counted
        })
    };
    // From here on, this thread has no shard of its number, and counts starts beside its owner.
    take_shard(2);
    end(&rollup, rollup.start(RouteKey::Known(route)));
    assert!(rollup.snapshot().stats().balances());
    ending.join().expect("counting does not panic");
    let counted = writing.join().expect("an interval ends without a panic");
    assert_eq!(counted + write(&rollup), 2);
    let counts = rollup.snapshot();
    assert_eq!((counts.started, counts.ended, counts.running, counts.rolled_up), (2, 2, 0, 2));
}

fn end(rollup: &Rollup, started: u32) {
    rollup.end(&EndedRequest {
        started,
        route: RouteKey::Known(started),
        status: 200,
        error_code: "",
        tags: b"",
        nanoseconds: 5,
        kept: false,
        trace: None,
    });
}

/// Writes the lines of the interval that ends, and returns their counts.
fn write(rollup: &Rollup) -> u64 {
    let template = LineTemplate::new(StaticTags::default(), None, rollup.boundaries());
    let mut counted = 0;
    rollup.write_interval(&template, &mut |line, _| {
        let line = std::str::from_utf8(line).expect("text");
        let count = line.split([' ', ',']).find_map(|field| field.strip_prefix("count="));
        counted += count.map_or(0, |count| count.trim_end_matches('i').parse::<u64>().expect("a number"));
        true
    });
    counted
}
