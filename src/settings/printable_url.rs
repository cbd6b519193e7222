//! URLs as errors and `Debug` may show them.

use super::value::shown;

/// Formats a URL without what may be a secret: its query, its fragment, and all of it when it holds
/// an `@`. Where user, password and host begin and end cannot be told in text that is not a URL.
pub(super) fn printable_url(url: &str) -> String {
    if !is_printable(url) {
        return "[redacted]".to_owned();
    }
    match url.find(['?', '#']) {
        Some(end) => format!("{}…", shown(&url[..end])),
        None => shown(url),
    }
}

pub(super) fn is_printable(url: &str) -> bool {
    // `%40` is an `@` to whoever decodes it before he looks.
    !url.contains('@') && !url.contains("%40")
}
