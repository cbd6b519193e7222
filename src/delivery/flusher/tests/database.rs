//! A database in memory that refuses lines as real ones do, with the texts of their answers: see
//! the shared answers of 1.8, 2.9 and 3.7.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use crate::{
    delivery::{
        batch::Batch,
        sink::{WriteError, judge},
    },
    line_protocol::{ColumnKind, Columns, timestamp},
};

/// The server whose texts it uses, and what it stores of a body that it refuses in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Words {
    /// 1.8 on `/write`: the rest is stored.
    V1,
    /// 2.9: the rest is stored, unless a line cannot be parsed.
    V2,
    /// 3.7 on `/api/v2/write`: one sentence for all, nothing is stored.
    V3Silent,
    /// 3.7 on `/api/v3/write_lp`: each line is numbered, the rest is stored.
    V3Numbers,
    /// 3.7 on `/write`: the first line is named, nothing is stored.
    V3First,
}

pub(in super::super) const ALL_WORDS: [Words; 5] =
    [Words::V1, Words::V2, Words::V3Silent, Words::V3Numbers, Words::V3First];

/// A database: its contents, and what it refuses.
pub(in super::super) struct Database {
    words: Words,
    /// Columns that exist, by measurement and name.
    pub(in super::super) types: HashMap<(&'static str, &'static str), ColumnKind>,
    /// Lines that contain this text cannot be parsed.
    pub(in super::super) unparsable: Option<&'static str>,
    /// Points before this time are beyond the retention.
    pub(in super::super) lower_bound: i64,
    /// The stored lines by measurement and time.
    pub(in super::super) stored: BTreeMap<(String, i64), String>,
    /// The time at which each was stored first.
    pub(in super::super) first_stored: BTreeMap<(String, i64), Instant>,
    pub(in super::super) requests: usize,
    /// The number of lines in all requests.
    pub(in super::super) lines: usize,
}

/// The reason why a line is refused.
enum Cause {
    Unparsable,
    Type { measurement: &'static str, field: &'static str, sent: ColumnKind, has: ColumnKind },
    Old,
}

impl Database {
    pub(in super::super) fn new(words: Words) -> Self {
        Self {
            words,
            types: HashMap::new(),
            unparsable: None,
            lower_bound: i64::MIN,
            stored: BTreeMap::new(),
            first_stored: BTreeMap::new(),
            requests: 0,
            lines: 0,
        }
    }

    /// Writes a body. The error has the meaning that the sink gives to such an answer.
    pub(in super::super) fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        self.requests += 1;
        self.lines += batch.len();
        let lines: Vec<&str> = batch.lines().map(|line| std::str::from_utf8(line).expect("text")).collect();
        let causes: Vec<(usize, Cause)> =
            lines.iter().enumerate().filter_map(|(number, line)| Some((number, self.cause(line)?))).collect();
        let stores_the_rest = match self.words {
            Words::V1 | Words::V3Numbers => true,
            Words::V2 => !causes.iter().any(|(_, cause)| matches!(cause, Cause::Unparsable)),
            Words::V3Silent | Words::V3First => false,
        };
        for (number, line) in lines.iter().enumerate() {
            let good = !causes.iter().any(|(refused, _)| *refused == number);
            if good && (stores_the_rest || causes.is_empty()) {
                self.store(line);
            }
        }
        if causes.is_empty() {
            return Ok(());
        }
        let (status, body) = self.answer(&lines, &causes);
        Err(judge(status, &body).expect("a refusal"))
    }

    fn cause(&self, line: &str) -> Option<Cause> {
        if self.unparsable.is_some_and(|text| line.contains(text)) {
            return Some(Cause::Unparsable);
        }
        let columns = Columns::of(line.as_bytes());
        let of = columns.clone();
        for column in columns {
            for ((measurement, field), has) in &self.types {
                if of.is_of(measurement) && column.is_called(field) && column.kind != *has {
                    return Some(Cause::Type { measurement, field, sent: column.kind, has: *has });
                }
            }
        }
        (timestamp(line.as_bytes())? < self.lower_bound).then_some(Cause::Old)
    }

    /// A point is identified by series and time: with other tags, the same time would be a second
    /// point.
    fn store(&mut self, line: &str) {
        let measurement = String::from_utf8_lossy(Columns::of(line.as_bytes()).measurement()).into_owned();
        let key = (measurement, timestamp(line.as_bytes()).expect("a time"));
        let series = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        if let Some(before) = self.stored.get(&key) {
            assert_eq!(series(before), series(line), "a point is stored twice, in two series");
        }
        self.first_stored.entry(key.clone()).or_insert_with(Instant::now);
        self.stored.insert(key, line.to_owned());
    }

    fn answer(&self, lines: &[&str], causes: &[(usize, Cause)]) -> (u16, String) {
        match self.words {
            Words::V3Silent => (
                400,
                r#"{"code":"invalid","message":"write buffer error: parsing for line protocol failed"}"#
                    .to_owned(),
            ),
            Words::V3Numbers | Words::V3First => v3(self.words, lines, causes),
            Words::V1 | Words::V2 => self.v1_and_v2(lines, causes),
        }
    }

    fn v1_and_v2(&self, lines: &[&str], causes: &[(usize, Cause)]) -> (u16, String) {
        let unparsable = causes.iter().filter(|(_, cause)| matches!(cause, Cause::Unparsable));
        let quotes: Vec<String> = unparsable
            .map(|(number, _)| format!("unable to parse '{}': missing field value", lines[*number]))
            .collect();
        let types: Vec<&Cause> = causes
            .iter()
            .map(|(_, cause)| cause)
            .filter(|cause| matches!(cause, Cause::Type { .. }))
            .collect();
        let old = causes.iter().filter(|(_, cause)| matches!(cause, Cause::Old)).count();
        let conflict = types.first().and_then(|cause| match cause {
            Cause::Type { measurement, field, sent, has } => Some(format!(
                "partial write: field type conflict: input field \"{field}\" on measurement \"{measurement}\" is type \
                 {}, already exists as type {} dropped={}",
                name(*sent),
                name(*has),
                types.len()
            )),
            _ => None,
        });
        if self.words == Words::V1 {
            let partial = || format!("partial write: {} dropped=0", quotes.join("\n"));
            let retention = format!("partial write: points beyond retention policy dropped={old}");
            let text = conflict.or_else(|| (old > 0).then_some(retention)).unwrap_or_else(partial);
            return (400, serde_json::json!({ "error": text }).to_string());
        }
        if !quotes.is_empty() {
            return (400, serde_json::json!({ "code": "invalid", "message": quotes.join("\n") }).to_string());
        }
        let bound = jiff::Timestamp::from_nanosecond(i128::from(self.lower_bound)).expect("a time");
        let point = format!(
            "point m,a=q at {bound} dropped because it violates a Retention Policy Lower Bound at {bound}"
        );
        let retention = format!(
            "partial write: dropped {old} points outside retention policy of duration 1h0m0s - oldest {point}, newest \
             {point} dropped={old} for database: 4077284953631021 for retention policy: autogen"
        );
        let text = format!("failure writing points to database: {}", conflict.unwrap_or(retention));
        (422, serde_json::json!({ "code": "unprocessable entity", "message": text }).to_string())
    }
}

fn v3(words: Words, lines: &[&str], causes: &[(usize, Cause)]) -> (u16, String) {
    let told: Vec<serde_json::Value> = causes
        .iter()
        .map(|(number, cause)| {
            let message = match cause {
                Cause::Unparsable => "No fields were provided".to_owned(),
                Cause::Old => unreachable!("3.x takes old points"),
                Cause::Type { field, sent, has, .. } => format!(
                    "invalid column type for column '{field}', expected iox::column_type::{}, got iox::column_type::{}",
                    path(*has),
                    path(*sent)
                ),
            };
            let original: String = lines[*number].chars().take(20).collect();
            serde_json::json!({ "error_message": message, "line_number": number + 1, "original_line": original })
        })
        .collect();
    let body = match words {
        Words::V3Numbers => {
            serde_json::json!({ "error": "partial write of line protocol occurred", "data": told })
        }
        _ => serde_json::json!({ "error": "parsing failed for write_lp endpoint", "data": told[0] }),
    };
    (400, body.to_string())
}

fn name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Tag => "tag",
        ColumnKind::Float => "float",
        ColumnKind::Integer => "integer",
        ColumnKind::String => "string",
        ColumnKind::Boolean => "boolean",
    }
}

fn path(kind: ColumnKind) -> String {
    if kind == ColumnKind::Tag { "tag".to_owned() } else { format!("field::{}", name(kind)) }
}
