//! Settings from arbitrary TOML: reading and checking them never panics, and reveals no secret.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::settings::Settings;

/// Reads and checks settings.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Errors of TOML quote the text. They belong to the application, which has read the file.
    let Ok(table) = text.parse::<toml::Table>() else { return };
    let secrets: Vec<String> = ["token", "password"]
        .iter()
        .filter_map(|key| Some(table.get(*key)?.as_str()?.to_owned()))
        // A short secret, or one that also occurs elsewhere, may be in the output by chance.
        .filter(|secret| secret.len() >= 8 && text.matches(&**secret).count() == 1)
        .collect();
    let mut output = String::new();
    match Settings::deserialize(table) {
        Ok(settings) => {
            let _ = write!(output, "{settings:?} {settings:#?}");
            if let Err(error) = settings.validate() {
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
