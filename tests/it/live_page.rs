//! The live page in a real browser.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::Path, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tower_influx::{
    DataPoint, ErrorCode, Monitor, Settings,
    licensing::{LicenseState, Licensing},
    live::{self as page, LivePage},
    settings::{KeepRequests, Storage},
    sink::MemorySink,
};

use crate::support::{
    browser::{self, Rendered},
    http::Http,
    live::{self, CHROMIUM},
};

mod named;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_service_has_a_page() {
    let Some(mut service) = Service::start("an_empty_service_has_a_page", Router::new()).await else {
        return;
    };
    let rendered = service.page("").await;
    assert_eq!((rendered.text_of("requests"), rendered.text_of("running")), ("0", "0"));
    assert!(rendered.document.contains("No requests in the last 10 minutes"));
    service.page("?hours&all&failed&paused&nonsense=%3Cscript%3E").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_requests_and_is_updated() {
    let app = Router::new()
        .route("/items/{id}", get(|Path(id): Path<u32>| async move { id.to_string() }))
        .route("/gone", get(async || (StatusCode::NOT_FOUND, ErrorCode::from(11009), "gone")));
    let Some(mut service) = Service::start("the_page_shows_the_requests_and_is_updated", app).await else {
        return;
    };
    service.drive("/items/7", 30).await;
    service.drive("/gone", 10).await;
    let stats = service.wait_for(50).await;
    assert_eq!(stats["last_10_minutes"]["requests"], 40);
    assert_eq!(stats["last_10_minutes"]["failed"], 10);
    assert_eq!(stats["last_10_minutes"]["routes"][0]["route"], "GET:/items/{id}");
    assert_eq!(stats["last_10_minutes"]["routes"][0]["status_codes"]["200"], 30);
    assert_eq!(stats["last_10_minutes"]["routes"][1]["error_codes"]["11009"], 10);
    assert_eq!(stats["last_12_hours"]["requests"], 40);
    assert_eq!(stats["accepted"], 51, "the ledger is at the top; the licence has a point, too");
    assert_eq!(stats["license"]["license_period_rest"], 9);

    let rendered = service.page("").await;
    assert_eq!((rendered.text_of("requests"), rendered.text_of("failed")), ("40", "10"));
    assert_eq!((rendered.text_of("failed-share"), rendered.text_of("license-days")), ("25 %", "9 days"));
    for text in ["/items/{id}", "<b>11009</b> 10", "<b>404</b> 10", "ends soon"] {
        assert!(rendered.document.contains(text), "{text} is not in {}", rendered.document);
    }
    assert_eq!(rendered.document.matches("class=\"trend\"").count(), 2);
    assert_eq!(rendered.document.matches("<script").count(), 0);

    service.drive("/items/8", 5).await;
    service.wait_for(55).await;
    assert_eq!(service.page("").await.text_of("requests"), "45");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_are_shown_as_text() {
    const HOSTILE: &str =
        "\"'><script>document.title='taken'</script><img src=x onerror=alert(1)>&lt;\u{202e}";
    let app = Router::new().route(
        "/hostile",
        get(async || (StatusCode::BAD_REQUEST, ErrorCode::from(HOSTILE.to_owned()), "no")),
    );
    let Some(mut service) = Service::start("hostile_values_are_shown_as_text", app).await else { return };
    service.drive("/hostile", 3).await;
    let point = DataPoint::new("errors")
        .with_tag("service", "shop")
        .with_tag("route", format!("<b>bold{HOSTILE}"))
        .with_tag("status_code", HOSTILE)
        .with_tag("error_code", HOSTILE)
        .with_field("request_id", HOSTILE);
    service.monitor.record(&point);
    service.wait_for(7).await;
    let rendered = service.page("").await;
    let document = &rendered.document;
    for markup in ["<script", "<img", "<b>bold"] {
        assert!(!document.contains(markup), "{markup} is in {document}");
    }
    assert!(document.contains("&lt;script&gt;"), "shown as text in {document}");
    assert!(document.contains("<title>shop · monitoring</title>"), "no script has run: {document}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_500_routes_has_a_page() {
    let ok = || get(async || StatusCode::OK.into_response());
    let app = (0..520).fold(Router::new(), |app, number| app.route(&format!("/route-{number:03}"), ok()));
    let Some(mut service) = Service::start("a_service_of_500_routes_has_a_page", app).await else { return };
    for number in 0..520 {
        service.drive(&format!("/route-{number:03}"), 1).await;
    }
    service.wait_for(520).await;
    let rendered = service.page("").await;
    assert_eq!(rendered.text_of("requests"), "520");
    assert_eq!(rendered.document.matches("class=\"trend\"").count(), 25);
    let rendered = service.page("?all").await;
    assert_eq!(
        rendered.document.matches("class=\"trend\"").count(),
        501,
        "500 routes, and the others as one"
    );
    assert!(rendered.document.contains("other routes"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_page_shows_the_points_in_the_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new("shop");
    settings.file.directory = directory.path().to_owned();
    settings.flush_interval = Duration::from_millis(20);
    for run in 0..2_u64 {
        let monitor = Monitor::start(settings.clone()).expect("starts");
        let (address, server) = serve(&monitor, page::router(&monitor), route_ok()).await;
        let http = Http::new();
        for _ in 0..10 {
            http.get(&format!("http://{address}/ok")).await.expect("answers");
        }
        let wanted = 10 * (run + 1);
        let stats = wait(&http, address, |stats| stats["last_12_hours"]["requests"] == wanted).await;
        assert_eq!(stats["observed"]["from_files"], 10 * run);
        monitor.shutdown(Duration::from_secs(5)).await;
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_rollups_the_page_counts_requests_that_have_no_points() {
    let test = "with_rollups_the_page_counts_requests_that_have_no_points";
    let app = Router::new()
        .route("/items/{id}", get(|Path(id): Path<u32>| async move { id.to_string() }))
        .route("/gone", get(async || (StatusCode::NOT_FOUND, ErrorCode::from(11009), "gone")))
        .route("/slow", get(async || sleep(Duration::from_millis(50)).await))
        .route("/hangs", get(std::future::pending::<()>));
    let mut settings = Settings::new("shop");
    settings.flush_interval = Duration::from_millis(20);
    settings.rollup.interval = Some(Duration::from_secs(3600));
    settings.requests.keep = KeepRequests::Failed;
    let Some(mut service) = Service::start_with(test, app, settings).await else { return };
    service.drive("/items/7", 30).await;
    service.drive("/gone", 10).await;
    service.drive("/slow", 5).await;
    let hangs = format!("http://{}/hangs", service.address);
    let hanging: Vec<_> = (0..2)
        .map(|_| (hangs.clone(), Http::new()))
        .map(|(url, http)| tokio::spawn(async move { http.get(&url).await }))
        .collect();
    let stats = wait(&service.http, service.address, |stats| {
        let routes = stats["last_10_minutes"]["routes"].as_array().expect("routes");
        let hangs = routes.iter().find(|route| route["route"] == "GET:/hangs");
        let failures = stats["latest_errors"].as_array().map_or(0, Vec::len);
        hangs.is_some_and(|route| route["running"] == 2) && failures == 10
    })
    .await;
    let minutes = &stats["last_10_minutes"];
    assert_eq!((&minutes["requests"], &minutes["failed"]), (&45.into(), &10.into()));
    assert_eq!(stats["last_12_hours"]["requests"], 45);
    assert_eq!(stats["rollup"]["kept"], 10, "the others have no points");
    let route = |name: &str| {
        let mut routes = minutes["routes"].as_array().expect("routes").iter();
        routes.find(|route| route["route"] == name).unwrap_or_else(|| panic!("{name}: {minutes}"))
    };
    assert_eq!(route("GET:/items/{id}")["status_codes"]["200"], 30);
    assert_eq!(route("GET:/items/{id}")["running"], 0);
    assert_eq!(route("GET:/gone")["error_codes"]["11009"], 10);
    assert_eq!(route("GET:/hangs")["requests"], 0);
    let slow = route("GET:/slow")["p50"].as_f64().expect("a time");
    assert!(slow > 0.045, "{slow}");
    let slots = minutes["slots"].as_array().expect("slots").iter();
    assert_eq!(slots.map(|slot| slot["requests"].as_u64().expect("a number")).sum::<u64>(), 45);

    let rendered = service.page("").await;
    assert_eq!((rendered.text_of("requests"), rendered.text_of("failed")), ("45", "10"));
    assert_eq!(rendered.text_of("running"), "2");
    let rendered = service.page("?running").await;
    let first = rendered.document.find("data-name=\"running\">2</td>").expect("the column");
    assert!(first < rendered.document.find("/items/{id}").expect("a route"), "the hanging ones come first");
    assert!(rendered.document.contains("<b>11009</b> 10"));
    assert!(rendered.document.matches("<tr><td>").count() >= 10, "the latest failures");
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_rollups_and_without_any_storage_there_is_a_page() {
    let mut settings = Settings::new("shop");
    settings.storage = Storage::None;
    let monitor = Monitor::start(settings).expect("starts");
    let (address, server) = serve(&monitor, page::router(&monitor), route_ok()).await;
    let http = Http::new();
    for _ in 0..7 {
        http.get(&format!("http://{address}/ok")).await.expect("answers");
    }
    let stats = wait(&http, address, |stats| stats["last_10_minutes"]["requests"] == 7).await;
    assert_eq!((&stats["accepted"], &stats["observed"]["points"]), (&0.into(), &0.into()));
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_with_rollups_the_page_shows_their_lines_in_the_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new("shop");
    settings.file.directory = directory.path().to_owned();
    settings.rollup.interval = Some(Duration::from_secs(3600));
    settings.requests.keep = KeepRequests::None;
    for run in 0..3_u64 {
        let monitor = Monitor::start(settings.clone()).expect("starts");
        let (address, server) = serve(&monitor, page::router(&monitor), route_ok()).await;
        let http = Http::new();
        for _ in 0..10 {
            http.get(&format!("http://{address}/ok")).await.expect("answers");
        }
        let wanted = 10 * (run + 1);
        let stats = wait(&http, address, |stats| stats["last_12_hours"]["requests"] == wanted).await;
        assert_eq!(stats["observed"]["from_files"], run, "a line for each run before");
        assert!(stats["last_12_hours"]["p99"].as_f64().is_some_and(|p99| p99 > 0.0));
        monitor.shutdown(Duration::from_secs(5)).await;
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_strict_headers_and_relative_links() {
    let monitor = Monitor::disabled();
    let (address, server) = serve(&monitor, page::router(&monitor), Router::new()).await;
    let http = Http::new();
    for path in ["", "/stats", "/style.css", "/icon.svg"] {
        let answer = http.get(&format!("http://{address}/inner/monitoring{path}")).await.expect("answers");
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; img-src 'self'"), "{policy}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    let page = |path: &str| {
        let (http, url) = (http.clone(), format!("http://{address}/inner/monitoring{path}"));
        async move { http.get(&url).await.expect("answers").text() }
    };
    assert!(page("").await.contains("href=\"monitoring/style.css\""));
    assert!(page("").await.contains("Monitoring is off"));
    let missing = http.get(&format!("http://{address}/inner/monitoring/other")).await.expect("answers");
    assert_eq!(missing.status, 404);
    server.abort();
}

/// A monitored application with the page at `/inner/monitoring`.
struct Service {
    monitor: Monitor,
    address: SocketAddr,
    http: Http,
    server: tokio::task::JoinHandle<()>,
}

impl Service {
    async fn start(test: &str, app: Router) -> Option<Self> {
        let mut settings = Settings::new("shop");
        settings.flush_interval = Duration::from_millis(20);
        Self::start_with(test, app, settings).await
    }

    async fn start_with(test: &str, app: Router, settings: Settings) -> Option<Self> {
        if !live::ready(test, &[CHROMIUM]) {
            return None;
        }
        let monitor = Monitor::builder(settings).sink(MemorySink::new()).start().expect("starts");
        let check = async || {
            Ok::<_, std::convert::Infallible>(LicenseState::new(9).with_warning("the licence ends soon"))
        };
        let license = Licensing::new(check).spawn_checked(&monitor).await.expect("checked");
        let page = LivePage::new(&monitor).license(&license).router();
        let (address, server) = serve(&monitor, page, app).await;
        Some(Self { monitor, address, http: Http::new(), server })
    }

    async fn drive(&mut self, path: &str, times: usize) {
        for _ in 0..times {
            self.http.get(&format!("http://{}{path}", self.address)).await.expect("answers");
        }
    }

    /// Waits until the page has counted this many points of requests and errors, and returns its
    /// statistics.
    async fn wait_for(&self, points: u64) -> Value {
        let seen = |stats: &Value, key: &str| stats["last_10_minutes"][key].as_u64().unwrap_or(0);
        wait(&self.http, self.address, |stats| seen(stats, "requests") + seen(stats, "failed") >= points)
            .await
    }

    /// Loads the page in the browser, which must report no errors.
    async fn page(&mut self, query: &str) -> Rendered {
        let url = format!("http://{}/inner/monitoring{query}", self.address);
        let rendered = spawn_blocking(move || browser::load(&url)).await.expect("the browser runs");
        assert_eq!(rendered.complaints, [""; 0]);
        rendered
    }

    async fn stop(self) {
        self.server.abort();
        assert!(self.monitor.shutdown(Duration::from_secs(5)).await.in_time);
    }
}

async fn serve(monitor: &Monitor, page: Router, app: Router) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let inner = Router::new().nest("/monitoring", page);
    let app = Router::new().nest("/inner", inner).merge(app.layer(monitor.layer()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (address, tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") }))
}

fn route_ok() -> Router {
    Router::new().route("/ok", get(async || "ok"))
}

async fn wait(http: &Http, address: SocketAddr, is_there: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let url = format!("http://{address}/inner/monitoring/stats");
        let stats = http.get(&url).await.expect("answers").json();
        if is_there(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "not there after 30 seconds: {stats}");
        sleep(Duration::from_millis(10)).await;
    }
}
