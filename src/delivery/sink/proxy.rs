//! The proxy variables of the environment, which the clients read themselves.
//!
//! Both clients ignore a variable that they cannot parse and connect directly. Points and their
//! token would then bypass the proxy. So such a variable is refused at start.

use std::env;

use url::Url;

use super::{authorization::base64, transport::is_this_host};
use crate::{error::Error, settings::Token, work::looked_at};

/// Checks the variables that name the proxy for this URL.
///
/// # Errors
///
/// Fails on a variable that the clients would ignore. The message names the variable but not its
/// value, which may hold a password.
pub(super) fn check(url: &Url) -> Result<(), Error> {
    check_with(url, |name| env::var_os(name).map(|value| value.into_string().map_err(drop)))
}

fn check_with(url: &Url, variable: impl Fn(&str) -> Option<Result<String, ()>>) -> Result<(), Error> {
    let exempt = ["NO_PROXY", "no_proxy"].iter().find_map(|name| variable(name)?.ok()).unwrap_or_default();
    if is_this_host(url) || is_exempt(url, &exempt) {
        return Ok(());
    }
    for name in variables(url) {
        let why = match variable(name) {
            None => continue,
            Some(Ok(value)) => match unusable(&value) {
                Some(why) => why,
                None => continue,
            },
            Some(Err(())) => "it is not UTF-8",
        };
        let remedy = format!(
            "{why}, so the client would ignore this variable of the environment and connect directly; write \
             `http://host:port`, with user and password percent-encoded before the host, or unset it"
        );
        return Err(Error::setting_without_value(name, remedy));
    }
    Ok(())
}

/// Returns the passwords of the proxies for this URL, in each form in which an answer may contain
/// them.
pub(super) fn passwords(url: &Url) -> Vec<Token> {
    let mut passwords = Vec::new();
    for value in variables(url).iter().filter_map(|name| env::var(name).ok()) {
        let Ok(proxy) = Url::parse(&with_scheme(&value)) else { continue };
        let Some(password) = proxy.password().filter(|password| !password.is_empty()) else { continue };
        let pair = format!("{}:{}", decoded(proxy.username()), decoded(password));
        passwords.extend([
            Token::new(password),
            Token::new(decoded(password)),
            Token::new(base64(pair.as_bytes())),
        ]);
    }
    passwords
}

fn variables(url: &Url) -> [&'static str; 4] {
    if url.scheme() == "https" {
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    }
}

/// Returns why the clients cannot use this value. An empty value means no proxy.
fn unusable(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return None;
    }
    if value.contains(|letter: char| letter.is_whitespace() || letter.is_control() || !letter.is_ascii()) {
        return Some("it holds a space or another character that no URL has");
    }
    let text = with_scheme(value);
    let Ok(proxy) = Url::parse(&text) else { return Some("it is not a URL with a host and a port") };
    if !matches!(proxy.scheme(), "http" | "https") {
        return Some("its scheme is neither `http` nor `https`");
    }
    // This parser is stricter than the other one: it accepts no `@` in a password.
    let parsed = text.parse::<::http::Uri>().ok();
    if parsed.is_none_or(|parsed| parsed.host().is_none_or(str::is_empty)) || proxy.port() == Some(0) {
        return Some("it is not a URL with a host and a port");
    }
    let user_of = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = user_of.split(['/', '?', '#']).next().unwrap_or_default();
    (authority.matches('@').count() > 1).then_some("its password holds an `@` that is not written `%40`")
}

fn with_scheme(value: &str) -> String {
    if value.contains("://") { value.to_owned() } else { format!("http://{value}") }
}

/// Returns whether `NO_PROXY` names the host or a parent domain of it.
fn is_exempt(url: &Url, exempt: &str) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    exempt.split(',').map(|entry| entry.trim().trim_start_matches('.')).any(|entry| {
        entry == "*"
            || entry == host
            || host.strip_suffix(entry).is_some_and(|rest| !entry.is_empty() && rest.ends_with('.'))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        looked_at(3);
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, name: &str, value: &str) -> Result<(), Error> {
        let url = Url::parse(url).expect("a URL");
        check_with(&url, |asked| (asked == name).then(|| Ok(value.to_owned())))
    }

    #[test]
    fn a_proxy_that_the_clients_would_ignore_is_refused() {
        for value in [
            "http://proxy:99999",
            "http://proxy:port",
            "proxy:99999",
            "socks5://proxy:1080",
            "ftp://proxy",
            "http://user:s3cr/et@proxy:3128",
            "http://user:s3cr#et@proxy:3128",
            "http://user:s3cr@et@proxy:3128",
            "http://user:s3cr et@proxy:3128",
            "http://proxy :3128",
            " http://proxy:3128",
            "http://proxy:3128\n",
            "http://proxy\u{1}:3128",
            "http://prüfung:3128",
            "http://",
            "http://:3128",
            "http://proxy:0",
        ] {
            for (url, name) in [
                ("http://influx.example:8086", "HTTP_PROXY"),
                ("http://influx.example:8086", "http_proxy"),
                ("http://influx.example:8086", "ALL_PROXY"),
                ("https://influx.example:8086", "HTTPS_PROXY"),
                ("https://influx.example:8086", "https_proxy"),
                ("https://influx.example:8086", "all_proxy"),
            ] {
                let error = check(url, name, value).expect_err(value).to_string();
                assert!(error.contains(name) && !error.contains("s3cr"), "{error}");
                let is_odd = value.contains([' ', '\n', 'ü', '\u{1}']);
                assert_eq!(error.contains("it holds a space or another character"), is_odd, "{error}");
            }
        }
    }

    #[test]
    fn a_proxy_that_the_clients_use_is_accepted() {
        for value in [
            "",
            "proxy:3128",
            "http://proxy",
            "https://proxy:3128/",
            "http://u:p%40ss@proxy:3128",
            "http://[::1]:3128",
        ] {
            check("http://influx.example:8086", "HTTP_PROXY", value).expect(value);
        }
        check("http://influx.example:8086", "HTTPS_PROXY", "nonsense://").expect("of another scheme");
        check("http://localhost:8086", "HTTP_PROXY", "nonsense://").expect("not used towards this host");
    }

    #[test]
    fn an_exempt_host_needs_no_proxy() {
        let exempt = |list: &str| {
            let url = Url::parse("http://db.influx.example:8086").expect("a URL");
            let variable = |asked: &str| match asked {
                "NO_PROXY" => Some(Ok(list.to_owned())),
                "HTTP_PROXY" => Some(Ok("socks5://proxy".to_owned())),
                _ => None,
            };
            check_with(&url, variable).is_ok()
        };
        for list in ["*", "db.influx.example", "a, influx.example", ".influx.example"] {
            assert!(exempt(list), "{list}");
        }
        for list in ["", ",", "flux.example", "b.influx.example"] {
            assert!(!exempt(list), "{list}");
        }
    }

    #[test]
    fn passwords_are_decoded() {
        assert_eq!(decoded("p%40ss%zz%4"), "p@ss%zz%4");
    }

    #[test]
    fn the_cost_of_a_variable_is_linear_in_its_length() {
        let url = Url::parse("http://db.influx.example:8086").expect("a URL");
        let pieces = ["http://", "@", "%40", "%", "[", "/", "?", "#", "a.", ".example", ","];
        crate::work::assert_linear(&pieces, |text| {
            let _ = unusable(text);
            is_exempt(&url, text);
            decoded(text);
        });
    }
}
