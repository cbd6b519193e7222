//! Settings from any TOML: reading and checking them never panics, and tells nobody a secret.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::settings::Settings;

/// Reads and checks settings.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Errors of TOML quote the text; they are the application's, which has read the file.
    let Ok(table) = text.parse::<toml::Table>() else { return };
    let secrets: Vec<String> = ["token", "password"]
        .iter()
        .filter_map(|key| Some(table.get(*key)?.as_str()?.to_owned()))
        // What is short or stands elsewhere, too, may be in an output by chance.
        .filter(|secret| secret.len() >= 8 && text.matches(&**secret).count() == 1)
        .collect();
    let mut output = String::new();
    match Settings::deserialize(table) {
        Ok(settings) => {
            let _ = write!(output, "{settings:?} {settings:#?}");
            if let Err(error) = settings.check() {
                let _ = write!(output, "{error} {error:?}");
            }
        }
        Err(error) => {
            let _ = write!(output, "{error} {error:?}");
        }
    }
    for secret in secrets {
        assert!(!output.contains(&secret), "a secret is told: {output}");
    }
}
