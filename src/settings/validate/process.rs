//! Checks of the settings for values of the process.

use std::time::Duration;

use super::{super::Settings, HOUR, durations};
use crate::error::Error;

pub(super) fn validate(settings: &Settings) -> Result<(), Error> {
    let Some(interval) = settings.process.interval else { return Ok(()) };
    if !cfg!(feature = "process") {
        let remedy = "this program was built without the values of the process; add the feature `process` of the crate `tower-influx`, or leave the key out";
        return Err(Error::setting_without_value("process.interval", remedy));
    }
    durations("process.interval", interval, Duration::from_secs(1), HOUR)
}
