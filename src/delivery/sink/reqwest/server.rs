//! `api = "auto"`: one request to `/ping` detects which endpoint suits the server best.

use reqwest::{Client, Response};
use url::Url;

use crate::settings::InfluxApi;

/// Detects the endpoint for a server. Returns `Ok(None)` if the answer does not identify the
/// server.
///
/// # Errors
///
/// Fails if no answer arrives. The endpoint is then unknown, and no write would arrive either.
pub(super) async fn ask(client: &Client, url: &Url) -> Result<Option<InfluxApi>, reqwest::Error> {
    let mut ping = url.clone();
    ping.set_path(&format!("{}/ping", url.path().trim_end_matches('/')));
    let response = client.get(ping).send().await?;
    Ok(endpoint_of(&response))
}

fn endpoint_of(response: &Response) -> Option<InfluxApi> {
    let header =
        |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A page, a redirect or a refused token does not identify the server.
    let answered = matches!(response.status().as_u16(), 200 | 204);
    if answered { best(header("x-influxdb-version"), header("x-influxdb-build")) } else { None }
}

/// Returns the best endpoint of a server that sends these headers in its answer to `/ping`.
fn best(version: &str, build: &str) -> Option<InfluxApi> {
    if build == "telegraf" {
        return Some(InfluxApi::V2);
    }
    match version.trim_start_matches('v').split('.').next()? {
        // VictoriaMetrics sends no version. It treats both endpoints alike.
        "" | "2" => Some(InfluxApi::V2),
        // This is also Telegraf's listener that has no other endpoint.
        "1" => Some(InfluxApi::V1),
        "3" => Some(InfluxApi::V3),
        _ => None,
    }
}

/// Returns whether the server no longer has this endpoint: it may have been replaced by another
/// one.
pub(super) fn is_elsewhere(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_identified_by_their_headers() {
        for (version, build, expected) in [
            ("1.6.7", "OSS", Some(InfluxApi::V1)),
            ("1.8.10", "OSS", Some(InfluxApi::V1)),
            ("v2.9.1", "OSS", Some(InfluxApi::V2)),
            ("2.0.4", "OSS", Some(InfluxApi::V2)),
            ("3.7.0", "Core", Some(InfluxApi::V3)),
            ("3.11.0", "Enterprise", Some(InfluxApi::V3)),
            ("Telegraf unknown", "telegraf", Some(InfluxApi::V2)),
            ("1.0", "", Some(InfluxApi::V1)),
            ("", "", Some(InfluxApi::V2)),
            ("30.1", "", None),
            ("dev", "", None),
        ] {
            assert_eq!(best(version, build), expected, "{version} {build}");
        }
    }

    #[test]
    fn the_cost_of_a_version_is_linear_in_its_length() {
        crate::work::assert_linear(&["v", "v2.", "telegraf"], |text| {
            let _ = (best(text, ""), best("", text));
        });
    }
}
