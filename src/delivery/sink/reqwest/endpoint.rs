//! The URL of a write with its query, for each of the three endpoints.

use url::Url;

use crate::settings::{InfluxApi, InfluxSettings};

/// Returns the URL for writes. Credentials are sent in headers, never here, since queries are
/// logged.
pub(super) fn of(settings: &InfluxSettings, url: &Url, api: InfluxApi) -> Url {
    let mut endpoint = url.clone();
    let path = match api {
        InfluxApi::V1 => "/write",
        InfluxApi::V2 | InfluxApi::Auto => "/api/v2/write",
        InfluxApi::V3 => "/api/v3/write_lp",
    };
    endpoint.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    let mut query = endpoint.query_pairs_mut();
    match api {
        InfluxApi::V1 => {
            query.append_pair("db", &settings.bucket);
            if let Some(policy) = &settings.retention_policy {
                query.append_pair("rp", policy);
            }
            query.append_pair("precision", "ns");
        }
        InfluxApi::V2 | InfluxApi::Auto => {
            query.append_pair("bucket", &settings.bucket);
            if !settings.organization.is_empty() {
                query.append_pair("org", &settings.organization);
            }
            query.append_pair("precision", "ns");
        }
        InfluxApi::V3 => {
            query.append_pair("db", &settings.bucket);
            query.append_pair("precision", "nanosecond");
            query.append_pair("accept_partial", if settings.accept_partial { "true" } else { "false" });
            // The first releases do not know this parameter.
            if settings.no_sync {
                query.append_pair("no_sync", "true");
            }
        }
    }
    drop(query);
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, change: impl FnOnce(&mut InfluxSettings)) -> String {
        let mut settings = InfluxSettings { bucket: "b".to_owned(), ..InfluxSettings::default() };
        change(&mut settings);
        of(&settings, &Url::parse(url).expect("a URL"), settings.api).into()
    }

    #[test]
    fn each_endpoint_has_its_path_and_query() {
        let plain = "http://localhost:8086";
        assert_eq!(
            endpoint(plain, |settings| settings.api = InfluxApi::V1),
            "http://localhost:8086/write?db=b&precision=ns"
        );
        let with_policy = |settings: &mut InfluxSettings| {
            settings.api = InfluxApi::V1;
            settings.retention_policy = Some("one year".to_owned());
        };
        assert_eq!(endpoint(plain, with_policy), "http://localhost:8086/write?db=b&rp=one+year&precision=ns");
        assert_eq!(endpoint(plain, |_| {}), "http://localhost:8086/api/v2/write?bucket=b&precision=ns");
        assert_eq!(
            endpoint(plain, |settings| settings.organization = "o&o".to_owned()),
            "http://localhost:8086/api/v2/write?bucket=b&org=o%26o&precision=ns"
        );
        assert_eq!(
            endpoint(plain, |settings| settings.api = InfluxApi::V3),
            "http://localhost:8086/api/v3/write_lp?db=b&precision=nanosecond&accept_partial=true"
        );
        let fast = |settings: &mut InfluxSettings| {
            settings.api = InfluxApi::V3;
            settings.accept_partial = false;
            settings.no_sync = true;
        };
        assert_eq!(
            endpoint(plain, fast),
            "http://localhost:8086/api/v3/write_lp?db=b&precision=nanosecond&accept_partial=false&no_sync=true"
        );
    }

    #[test]
    fn base_paths_are_kept() {
        for base in ["http://h/insert/0/influx", "http://h/insert/0/influx/"] {
            assert_eq!(
                endpoint(base, |settings| settings.api = InfluxApi::V1),
                "http://h/insert/0/influx/write?db=b&precision=ns"
            );
        }
        assert_eq!(
            endpoint("https://h:4000/v1/in%20flux", |_| {}),
            "https://h:4000/v1/in%20flux/api/v2/write?bucket=b&precision=ns"
        );
    }
}
