//! URLs in errors and `Debug` output.

use super::value::shown;

/// Formats a URL without its query and its fragment, which may be secret. A URL with an `@` is
/// redacted as a whole: in invalid text, the limits of user, password and host are unknown.
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
    // `%40` is a decoded `@`.
    !url.contains('@') && !url.contains("%40")
}
