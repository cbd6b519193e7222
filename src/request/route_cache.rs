//! A cache of the matched paths that a thread has seen, with the numbers of their routes.

use std::cell::RefCell;

use axum::extract::MatchedPath;

use crate::record::{known_routes::KnownNumber, recorder::Recorder};

/// Finds the number of a matched path's route.
///
/// Routers own their paths and lend them to each request. So nearly every request has one that this
/// thread has seen, at the same address. The start of its lines is then encoded already. The
/// request keeps only the number: all cores would write to the counter of the path itself.
#[inline(always)]
pub(super) fn find(path: &MatchedPath, method: &'static str, recorder: &Recorder) -> Option<KnownNumber> {
    let key = CacheKey { path: address(path), method: method.as_ptr().addr(), monitor: recorder.number };
    let found = ENTRIES.try_with(|places| match places.borrow().get(key.place()) {
        Some(CacheEntry { key: other, known, .. }) if *other == key => *known,
        _ => None,
    });
    match found {
        Ok(Some(known)) => Some(known),
        _ => remember(key, path, method, recorder),
    }
}

/// Enters a path that is not cached. It may be created anew for each request, as below
/// `nest_service`, so it is encoded only when it comes a second time. It is held in between, so
/// that no other path can get its address.
#[cold]
#[inline(never)]
fn remember(
    key: CacheKey,
    path: &MatchedPath,
    method: &'static str,
    recorder: &Recorder,
) -> Option<KnownNumber> {
    let known = ENTRIES.try_with(|places| {
        let mut places = places.borrow_mut();
        if places.is_empty() {
            places.resize_with(ENTRY_COUNT, CacheEntry::default);
        }
        let place = &mut places[key.place()];
        if place.key != key {
            // The current entry stays for a while. Otherwise two paths that share a place and
            // alternate would never be cached.
            place.challenges += 1;
            let most = if place.known.is_some() { CHALLENGES_WHEN_KNOWN } else { CHALLENGES_BEFORE };
            if place.path.is_none() || place.challenges > most {
                *place = CacheEntry { key, path: Some(path.clone()), ..CacheEntry::default() };
            }
            return None;
        }
        if !place.is_unknown {
            place.known = recorder.known_route(method, path.as_str());
            place.is_unknown = place.known.is_none();
        }
        place.known
    });
    known.ok().flatten()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CacheKey {
    path: usize,
    method: usize,
    monitor: u64,
}

impl CacheKey {
    #[inline]
    fn place(self) -> usize {
        let mixed = (self.path as u64 ^ (self.method as u64).rotate_left(32) ^ self.monitor.rotate_left(16))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (u64::BITS - PLACE_BITS)) as usize
    }
}

#[derive(Debug, Default)]
struct CacheEntry {
    key: CacheKey,
    path: Option<MatchedPath>,
    known: Option<KnownNumber>,
    /// The monitor has no number for it: each of its lines must be counted as changed, or there are
    /// too many routes.
    is_unknown: bool,
    challenges: u8,
}

fn address(path: &MatchedPath) -> usize {
    path.as_str().as_ptr().addr()
}

thread_local!(static ENTRIES: RefCell<Vec<CacheEntry>> = const { RefCell::new(Vec::new()) });

const PLACE_BITS: u32 = 8;
const ENTRY_COUNT: usize = 1 << PLACE_BITS;
/// How many requests for other paths come before an entry is replaced.
const CHALLENGES_BEFORE: u8 = 3;
const CHALLENGES_WHEN_KNOWN: u8 = 64;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, body::Body, routing::get};
    use http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        delivery::buffer::Buffer,
        request::found_route::FoundRoute,
        settings::{Overflow, Settings},
        stats::RecorderCounters,
    };

    fn recorder(service: &str) -> Recorder {
        let buffer = Buffer::with_shards(1, 1 << 20, Overflow::DropNewest);
        Recorder::new(
            &Settings::new(service),
            Arc::new(buffer),
            Arc::new(RecorderCounters::default()),
            None,
            (),
        )
    }

    /// Collects the matched paths that a router sets for these requests.
    async fn paths(router: fn(axum::routing::MethodRouter) -> Router, uris: &[&str]) -> Vec<MatchedPath> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let router =
            router(get(|path: MatchedPath| async move { kept.lock().expect("no panic").push(path) }));
        let router = router.with_state(());
        for uri in uris {
            let request = Request::builder().uri(*uri).body(Body::empty()).expect("a request");
            router.clone().oneshot(request).await.expect("axum never fails");
        }
        let mut seen = seen.lock().expect("no panic");
        std::mem::take(&mut *seen)
    }

    /// Finds a route as the layer does.
    fn find(path: &MatchedPath, method: &'static str, recorder: &Recorder) -> FoundRoute {
        let mut request = Request::new(());
        request.extensions_mut().insert(path.clone());
        let (route, matched) = FoundRoute::matched(&request, method, recorder);
        assert_eq!(matched, address(path));
        route
    }

    fn is_known(route: &FoundRoute) -> bool {
        matches!(route, FoundRoute::Known(_))
    }

    #[tokio::test]
    async fn a_route_is_known_from_its_second_request_on() {
        let paths =
            paths(|handler| Router::new().route("/items/{id}", handler), &["/items/1", "/items/2"]).await;
        let recorder = recorder("known");
        assert!(!is_known(&find(&paths[0], "GET", &recorder)));
        let route = find(&paths[1], "GET", &recorder);
        assert!(is_known(&route));
        let resource = route.resource(&recorder);
        assert!(resource.name == "/items/{id}" && resource.head.is_some());
        let route = route.to_route(&recorder);
        assert!(
            route.resource(recorder.number, "GET").head.is_some()
                && route.resource(recorder.number, "POST").head.is_none()
        );
        assert!(route.resource(recorder.number + 1, "GET").head.is_none());
        assert!(!is_known(&find(&paths[0], "POST", &recorder)), "another method is another route");
        assert!(!is_known(&find(&paths[0], "GET", &super::tests::recorder("another"))), "or another monitor");
        assert!(is_known(&find(&paths[0], "GET", &recorder)));
    }

    #[tokio::test]
    async fn a_known_route_is_encoded_once() {
        let paths = paths(|handler| Router::new().route("/{id}", handler), &["/1"]).await;
        let recorder = recorder("once");
        find(&paths[0], "GET", &recorder);
        let known = [0; 2].map(|_| match find(&paths[0], "GET", &recorder) {
            FoundRoute::Known(known) => known.route,
            other => panic!("{other:?}"),
        });
        assert_eq!((known[0], known[1]), (0, 0));
        assert!(recorder.routes.get(0).is_some() && recorder.routes.get(1).is_none());
    }

    #[tokio::test]
    async fn a_path_keeps_its_place_for_the_configured_number_of_others() {
        let router = |handler: axum::routing::MethodRouter| {
            (0..=ENTRY_COUNT)
                .fold(Router::new(), |router, number| router.route(&format!("/{number}"), handler.clone()))
        };
        let uris: Vec<_> = (0..=ENTRY_COUNT).map(|number| format!("/{number}")).collect();
        let paths = paths(router, &uris.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for (times_found, others) in [(1, CHALLENGES_BEFORE), (2, CHALLENGES_WHEN_KNOWN)] {
            for (more, expected) in [(0, true), (1, false)] {
                let recorder = recorder("place");
                let place = |path| {
                    CacheKey { path: address(path), method: "GET".as_ptr().addr(), monitor: recorder.number }
                        .place()
                };
                let mut seen = std::collections::HashMap::new();
                // There are more paths than places.
                let (first, second) = paths
                    .iter()
                    .find_map(|path| seen.insert(place(path), path).map(|first| (first, path)))
                    .expect("two share one");
                ENTRIES.with(|places| places.borrow_mut().clear());
                (0..times_found).for_each(|_| _ = find(first, "GET", &recorder));
                (0..others + more).for_each(|_| _ = find(second, "GET", &recorder));
                let is_still_there = is_known(&find(first, "GET", &recorder));
                assert_eq!(is_still_there, expected, "{others} others and {more}");
            }
        }
    }

    #[tokio::test]
    async fn a_route_that_must_be_rewritten_is_counted_each_time() {
        let paths = paths(|handler| Router::new().route("/{id\\,}", handler), &["/1", "/2", "/3"]).await;
        let recorder = recorder("rewritten");
        assert!(recorder.head("GET", paths[0].as_str()).is_none());
        for path in paths {
            assert!(!is_known(&find(&path, "GET", &recorder)));
        }
    }

    #[tokio::test]
    async fn paths_that_are_created_for_each_request_are_distinguished() {
        let router = |handler: axum::routing::MethodRouter| {
            let inner = Router::new().route("/a", handler.clone()).route("/b", handler);
            Router::new().nest_service("/nested", inner)
        };
        let recorder = recorder("nested");
        // Paths are created one by one, so that one may get the address of another.
        for uri in ["/nested/a", "/nested/b"].into_iter().cycle().take(500) {
            let path = &paths(router, &[uri]).await[0];
            assert_eq!(find(path, "GET", &recorder).resource(&recorder).name, uri);
        }
    }

    #[tokio::test]
    async fn a_known_route_is_eventually_replaced_by_others() {
        let routes: Vec<String> = (0..3 * ENTRY_COUNT).map(|number| format!("/{number}")).collect();
        let uris: Vec<&str> = routes.iter().map(String::as_str).collect();
        let router = |handler: axum::routing::MethodRouter| {
            (0..3 * ENTRY_COUNT)
                .fold(Router::new(), |router, number| router.route(&format!("/{number}"), handler.clone()))
        };
        let (paths, recorder) = (paths(router, &uris).await, recorder("crowded"));
        let (first, second) = paths.split_at(ENTRY_COUNT);
        let known = |paths: &[MatchedPath]| {
            paths.iter().filter(|path| is_known(&find(path, "GET", &recorder))).count()
        };
        known(first);
        let before = known(first);
        assert!(before > ENTRY_COUNT / 2, "{before}");
        for _ in 0..=u32::from(CHALLENGES_WHEN_KNOWN) + 3 {
            known(second);
        }
        assert!(known(second) > ENTRY_COUNT / 2 && known(first) < before);
    }
}
