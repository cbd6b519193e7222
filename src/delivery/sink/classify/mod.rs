//! The only place that decides what an answer of a server means for a batch.
//!
//! | answer, first match wins | class |
//! |---|---|
//! | 204; 200 to 202 without a body | written |
//! | 415; 400 or 500 on a compressed body that shows it was not decompressed | send it plain |
//! | other 2xx, any 3xx, a 400 or 404 that is not InfluxDB's, 405, 410, 411, 415, 426, 431, 501, 505, 511, unknown 4xx | blocked: configuration |
//! | 407, also to a `CONNECT` | blocked: configuration, of the proxy |
//! | 401, 402, 403; 400 about the `Authorization` header | blocked: authorization |
//! | 404; 500 and 400 about a database, bucket or retention policy | blocked: target |
//! | 400 of InfluxDB 3 about its own log, catalog or object store | transient |
//! | 400, 406, 409, 414, 417, 422 | refused: some points are bad |
//! | 500 that is a partial write | refused |
//! | 413; 500 about the request's size | too large |
//! | 408, 425, 429, 499, 502, 503, 504, 507, 520 to 527 | throttled |
//! | other 5xx | transient |
//!
//! Only the server's own words are matched, never its quotes from our lines.

mod answer;
mod columns;
mod phrases;
mod quotes;
mod retry_after;
mod scan;

use std::time::SystemTime;

use http::StatusCode;

use self::{
    answer::ServerText,
    phrases::{
        AUTHORIZATION_REMEDY, BAD_AUTHORIZATION, BAD_TARGET, CERTIFICATE, FIELD_TYPE, LIMIT, MALFORMED,
        NO_SUCH_PATH, NOT_FOR_US, NOT_HTTP, PASSING_FAULT_OF_V3, PROXY_REFUSES, PROXY_REMEDY, RETENTION,
        SAYS_NO_REASON, TARGET_REMEDY, TOO_LARGE,
    },
};
use super::error::{Hint, Proof, Refused, WriteError, WriteErrorKind};
use crate::settings::InfluxApi;
use crate::stats::{Blocked, RejectReason};

/// An answer as it was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerAnswer<'a> {
    pub(super) status: StatusCode,
    /// The body, or the part of it that was read.
    pub(super) body: &'a str,
    /// Whether the body was read to its end.
    pub(super) complete: bool,
    /// The `Retry-After` header, where the client gives access to it.
    pub(super) retry_after: Option<&'a str>,
    /// The endpoint that was used.
    pub(super) api: InfluxApi,
    /// Whether the body that was sent was compressed.
    pub(super) compressed: bool,
    /// The current time, for a `Retry-After` that is a date.
    pub(super) now: SystemTime,
}

/// What an answer means.
#[derive(Clone, Debug)]
pub(super) enum AnswerKind {
    /// All points were written.
    Written,
    /// All points seem to be written, but the status is not the one that InfluxDB uses.
    WrittenOddly,
    /// The server did not decompress the body. Only sending the points uncompressed can tell more.
    NotDecompressed,
    /// The batch, or part of it, was not written.
    Failed(WriteError),
}

/// Decides what an answer means.
pub(super) fn classify(answer: &ServerAnswer<'_>) -> AnswerKind {
    let said = ServerText::read(answer.body);
    let words = quotes::without_quotes(quotes::judged(&said.text, answer.complete), false);
    let case = Case { answer, said: &said, words: &words };
    let status = answer.status.as_u16();
    if status == 204 {
        return AnswerKind::Written;
    }
    if (200..=202).contains(&status) && answer.body.trim().is_empty() {
        return AnswerKind::WrittenOddly;
    }
    if answer.compressed && case.shows_compressed_bytes() {
        return AnswerKind::NotDecompressed;
    }
    AnswerKind::Failed(case.error().with_status(status).with_reported_dropped(case.reported_dropped()))
}

/// Returns whether the answer is the one sentence with which an endpoint of InfluxDB 3 answers
/// every fault of a body.
pub(super) fn names_no_line(answer: &ServerAnswer<'_>) -> bool {
    answer.status.as_u16() == 400 && scan::holds_any(answer.body, SAYS_NO_REASON)
}

/// Classifies a failure of the connection. `text` is the error and its causes.
pub(super) fn no_answer(text: &str, phase: RequestPhase) -> WriteError {
    let lower = text.to_lowercase();
    let mentions = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if mentions(CERTIFICATE) {
        let remedy = "the server's certificate is not trusted: correct it, or the host in `url`, or name its authority in \
                      `certificate_authority` (with `client = \"reqwest\"`)";
        return WriteError::blocked(Blocked::Configuration, format!("{}; {remedy}", brief(text)));
    }
    if mentions(PROXY_REFUSES) {
        return WriteError::blocked(Blocked::Configuration, format!("{}; {PROXY_REMEDY}", brief(text)));
    }
    if phase == RequestPhase::Building || mentions(NOT_HTTP) {
        let remedy = "the server at `url` does not speak the protocol of its scheme: check host, port, and `http` or `https`";
        return WriteError::blocked(Blocked::Configuration, format!("{}; {remedy}", brief(text)));
    }
    match phase {
        // Nothing was sent, so no point can have been written, even if connecting took too long.
        RequestPhase::Connecting => WriteError::transient(format!("cannot connect: {}", brief(text))),
        RequestPhase::TimedOut => WriteError::timeout(format!("no answer in time: {}", brief(text))),
        _ => WriteError::new(WriteErrorKind::Broken, format!("the connection broke: {}", brief(text))),
    }
}

/// How far a request without an answer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestPhase {
    /// The request could not be built.
    Building,
    Connecting,
    Exchanging,
    TimedOut,
}

struct Case<'a> {
    answer: &'a ServerAnswer<'a>,
    said: &'a ServerText,
    /// The server's own words only.
    words: &'a str,
}

impl Case<'_> {
    fn error(&self) -> WriteError {
        match self.answer.status.as_u16() {
            407 => self.blocked(Blocked::Configuration, PROXY_REMEDY),
            401..=403 => self.blocked(Blocked::Authorization, AUTHORIZATION_REMEDY),
            400 if self.says(BAD_AUTHORIZATION) => self.blocked(Blocked::Authorization, AUTHORIZATION_REMEDY),
            200..=299 => self.blocked(Blocked::Configuration, "something other than InfluxDB answers at `url`"),
            300..=399 => self.blocked(
                Blocked::Configuration,
                "redirects are not followed, since they can lose points or leak the token: set `url` to the final address",
            ),
            404 if self.said.page || NO_SUCH_PATH.contains(&self.words) => {
                self.blocked(Blocked::Configuration, self.no_such_path())
            }
            400 if self.said.page || self.says(NOT_FOR_US) => {
                self.blocked(Blocked::Configuration, "check scheme, port and path of `url`")
            }
            404 => self.blocked(Blocked::Target, TARGET_REMEDY),
            500 if self.says(&["retention policy not found"]) => self.blocked(Blocked::Target, TARGET_REMEDY),
            500 if self.says(&["max request size"]) => WriteError::too_large(self.message("")),
            // 2.0 answers so to points outside the retention. The other points of the batch are
            // stored.
            500 if self.says(&["partial write: "]) => self.refused(),
            400 if self.says(BAD_TARGET) => self.blocked(Blocked::Target, TARGET_REMEDY),
            400 if self.says(PASSING_FAULT_OF_V3) => WriteError::transient(self.message("")),
            400 | 406 | 409 | 414 | 417 | 422 => self.refused(),
            413 => WriteError::too_large(self.message("")),
            408 | 425 | 429 | 499 | 502 | 503 | 504 | 507 | 520..=527 => {
                let wait = self.answer.retry_after.and_then(|text| retry_after::parse(text, self.answer.now));
                WriteError::throttled(wait, self.message(""))
            }
            501 | 505 | 511 => self.blocked(Blocked::Configuration, "something other than InfluxDB answers at `url`"),
            500.. => WriteError::transient(self.message("")),
            // No InfluxDB uses this status. It says nothing about the points, so they are kept.
            _ => self.blocked(Blocked::Configuration, "InfluxDB does not use this status: check `url` and the proxies before it"),
        }
    }

    fn refused(&self) -> WriteError {
        let refused = Refused {
            // After a partial write the field exists, so the same body would get the same answer.
            resend_first: !self.says(&["partial write"]) && self.says(&["field type conflict"]),
            reason: self.reason(),
            hint: self.hint(),
            proof: Box::new(self.proof()),
        };
        WriteError::new(WriteErrorKind::Refused(refused), self.message(""))
    }

    fn proof(&self) -> Proof {
        let dropped = usize::try_from(quotes::reported_dropped(&self.said.text)).unwrap_or(0);
        // For other reasons, 1.x counts lines as dropped that it has not checked.
        let counted = matches!(
            self.reason(),
            RejectReason::FieldType | RejectReason::TooLarge | RejectReason::Retention
        );
        Proof {
            dropped: (dropped > 0 && counted && self.says(&["partial write:"])).then_some(dropped),
            certain: self.says(&["partial write of line protocol occurred"]),
            columns: columns::conflicting(&self.said.text),
        }
    }

    fn reason(&self) -> RejectReason {
        if self.says(FIELD_TYPE) {
            RejectReason::FieldType
        } else if self.says(RETENTION) {
            RejectReason::Retention
        } else if self.says(TOO_LARGE) {
            RejectReason::TooLarge
        } else if self.says(LIMIT) {
            RejectReason::Limit
        } else if !self.says(SAYS_NO_REASON) && self.says(MALFORMED) {
            RejectReason::Malformed
        } else {
            RejectReason::Other
        }
    }

    fn hint(&self) -> Hint {
        let text = &self.said.text;
        let quoted = quotes::quoted_lines(text);
        if !self.said.lines.is_empty() {
            Hint::Lines(self.said.lines.clone())
        } else if let Some(line) = quotes::telegraf_line(text) {
            Hint::Lines(vec![line])
        } else if !quoted.is_empty() {
            Hint::Quoted(quoted)
        } else if let Some((measurement, field)) = quotes::conflicting_field(text) {
            Hint::Field { measurement: measurement.to_owned(), field: field.to_owned() }
        } else {
            quotes::lower_bound(text).map_or(Hint::Unknown, Hint::OlderThan)
        }
    }

    /// Returns whether the server read the compressed bytes as lines, or failed to decompress them.
    fn shows_compressed_bytes(&self) -> bool {
        match self.answer.status.as_u16() {
            415 => true,
            // If a proxy removes the header, the server quotes the compressed bytes. None of our
            // lines contains a control character.
            400 if self.says(PASSING_FAULT_OF_V3) => false,
            400 => {
                self.says(&["gzip", "flate", "unexpected EOF", "utf8", "utf-8", "UTF-8"])
                    || quotes::quoted_lines(&self.said.text).iter().any(|line| line.contains('\u{1f}'))
            }
            // 2.x has only this message for a body that is not gzip. InfluxDB 3 answers it with a
            // 500 on `write_lp`.
            500 => self.says(&["An internal error has occurred", "gzip", "not valid utf8"]),
            _ => false,
        }
    }

    fn no_such_path(&self) -> &'static str {
        match self.answer.api {
            InfluxApi::V1 => "no `/write` at this address: check the path of `url`, or take `api = \"v2\"`",
            InfluxApi::V2 | InfluxApi::Auto => {
                "no `/api/v2/write` at this address: InfluxDB before 1.8 needs `client = \"reqwest\"` and `api = \"v1\"`, a path \
                 in `url` needs `client = \"reqwest\"`"
            }
            InfluxApi::V3 => {
                "no `/api/v3/write_lp` at this address: InfluxDB 1.x needs `api = \"v1\"`, 2.x needs `api = \"v2\"`"
            }
        }
    }

    /// Returns how many points the server reports as dropped. Of a cut answer nothing counts, since
    /// its end could be a line of ours.
    fn reported_dropped(&self) -> u64 {
        if self.answer.complete { quotes::reported_dropped(&self.said.text) } else { 0 }
    }

    fn says(&self, texts: &[&str]) -> bool {
        scan::holds_any(self.words, texts)
    }

    fn blocked(&self, by: Blocked, remedy: &str) -> WriteError {
        WriteError::blocked(by, self.message(remedy))
    }

    fn message(&self, remedy: &str) -> String {
        let mut message = self.answer.status.to_string();
        let said =
            brief(&quotes::without_quotes(quotes::judged(&self.said.text, self.answer.complete), true));
        // Pages and proxies often repeat only the status.
        if !said.is_empty() && said != message {
            message = format!("{message}: {said}");
        }
        if remedy.is_empty() { message } else { format!("{message}; {remedy}") }
    }
}

/// Shortens a foreign text to one line, so that a remedy still fits after it.
fn brief(text: &str) -> String {
    let mut brief: String = text
        .chars()
        .take(MAX_SAID)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if text.chars().nth(MAX_SAID).is_some() {
        brief.push('…');
    }
    brief.trim().to_owned()
}

/// Characters of a server's message that are kept.
const MAX_SAID: usize = 400;

#[cfg(test)]
mod tests;
