//! A request counts under its own key, on both code paths.

use std::{hash::BuildHasher, ptr};

use super::*;

/// Returns the total of each key, by resource and tags.
fn totals(rollup: &Rollup) -> BTreeMap<String, u64> {
    let keys = rollup.totals().keys.into_iter();
    let name = |key: &RollupKey| format!("{}{}", key.route.resource, String::from_utf8_lossy(&key.tags));
    keys.map(|(key, sum)| (name(&key), sum.tally.count)).collect()
}

fn map<const N: usize>(pairs: [(&str, u64); N]) -> BTreeMap<String, u64> {
    pairs.map(|(name, count)| (name.to_owned(), count)).into()
}

fn end_tagged(rollup: &Rollup, tags: &str) {
    let ended = request(rollup, "/a", 200, 1_000);
    rollup.end(&EndedRequest { tags: tags.as_bytes(), ..ended });
}

fn end_plain(rollup: &Rollup, route: u32) {
    let started = rollup.start(RouteKey::Known(route));
    rollup.end_plain(started, route, 200, 1_000, false);
}

#[test]
fn the_usual_request_is_in_the_line_of_each_interval() {
    let rollup = Rollup::with_shards(1, Boundaries::fine(), 10);
    let route = rollup.route("GET", "/a");
    for interval in 0..6 {
        (0..=interval).for_each(|_| end_plain(&rollup, route));
        assert_eq!(rollup.snapshot().open, interval + 1);
        assert_eq!(sum(&lines(&rollup), "count"), interval + 1);
        assert!(rollup.snapshot().stats().balances());
    }
}

#[test]
fn the_usual_request_does_not_count_for_another_route_or_with_tags() {
    let rollup = rollup(10);
    let [a, b] = ["/a", "/b"].map(|resource| rollup.route("GET", resource));
    end_tagged(&rollup, ",t=1");
    for route in [a, b, a, a, b] {
        end_plain(&rollup, route);
    }
    assert_eq!(totals(&rollup), map([("/a", 3), ("/a,t=1", 1), ("/b", 2)]));
}

#[test]
fn a_request_whose_route_changes_ends_where_it_has_started() {
    let rollup = rollup(10);
    let [a, b] = ["/a", "/b"].map(|resource| rollup.route("GET", resource));
    for _ in 0..3 {
        end_plain(&rollup, b);
        let started = rollup.start(RouteKey::Known(a));
        rollup.end_plain(started, b, 200, 1_000, false);
        let running = rollup.totals().running;
        assert!(running.iter().all(|(_, running)| *running == 0), "{running:?}");
    }
    assert_eq!((totals(&rollup), rollup.snapshot().running), (map([("/b", 6)]), 0));
}

/// Known keys have their line in each interval. Keys beyond the limit never have one.
#[test]
fn a_full_table_still_counts_known_keys_under_their_names() {
    let rollup = Rollup::with_shards(1, Boundaries::fine(), 2);
    for round in 1..=4 {
        for tags in [",t=1", ",t=2", ",t=3", ",t=4", ",t=1", ",t=5"] {
            end_tagged(&rollup, tags);
        }
        let expected = map([("/a,t=1", 2 * round), ("/a,t=2", round), ("other", 3 * round)]);
        assert_eq!(totals(&rollup), expected);
    }
}

#[test]
fn filtered_requests_are_counted_as_such_whichever_thread_ends_them() {
    let rollup = rollup(10);
    for _ in 0..8 {
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..3 {
                    rollup.leave_out(rollup.start(RouteKey::Text("GET", "/a")));
                }
            });
        });
    }
    let counts = rollup.snapshot();
    assert_eq!((counts.started, counts.left_out, counts.ended, counts.running), (24, 24, 0, 0));
    assert!(counts.stats().balances() && lines(&rollup).is_empty());
    assert_eq!(rollup.ended_without_point(), 24);
}

/// Two names may have the same hash.
#[test]
fn a_route_is_found_by_its_name_and_not_by_its_hash() {
    let rollup = Rollup::with_shards(1, Boundaries::fine(), 10);
    let other = rollup.keys.route("GET", "/other");
    for mut shard in rollup.locked() {
        let hash = shard.routes.hasher().hash_one(("GET", "/a"));
        shard.routes.insert(hash, Arc::clone(&other));
    }
    rollup.end(&request(&rollup, "/a", 200, 1_000));
    assert_eq!(totals(&rollup), map([("/a", 1)]));
}

#[test]
fn lines_of_running_requests_count_among_those_that_were_taken() {
    let rollup = rollup(10);
    rollup.end(&request(&rollup, "/a", 200, 1_000));
    let [first, second] = ["/b", "/c"].map(|resource| request(&rollup, resource, 200, 1_000));
    let mut running = 0;
    let mut write = |most: usize| {
        rollup.write_interval(&template(&rollup), &mut |line, _| {
            let is_running = line.windows(9).any(|part| part == b" running=");
            running += usize::from(is_running);
            !is_running || running <= most
        })
    };
    assert_eq!((write(1), write(4)), (2, 2), "one of the two is refused at first");
    rollup.end(&first);
    rollup.end(&second);
}

#[test]
fn stepping_visits_the_shards_in_order_from_any_own_shard() {
    let rollup = rollup(10);
    let place = |step| rollup.shards.iter().position(|place| ptr::eq(&raw const place.0, rollup.place(step)));
    let places = || [0, 1, 2, 3].map(|step| place(step).expect("one of the four"));
    for _ in 0..8 {
        let places = thread::scope(|scope| scope.spawn(places).join().expect("no panic"));
        let round = [0, 1, 2, 3, 0, 1, 2, 3];
        assert_eq!(places, round[places[0]..places[0] + 4]);
    }
}
