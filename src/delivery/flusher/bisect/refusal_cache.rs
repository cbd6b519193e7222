//! What is known of the lines that a destination accepts. Later batches are cut by it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use tokio::time::{Duration, Instant};

use crate::{
    delivery::batch::Batch,
    line_protocol::{Column, ColumnKind, Columns, without},
    stats::RejectReason,
};

use super::{
    column_search::{ColumnName, ColumnSearch, ColumnSearchResult},
    item::Piece,
    refusal_rate::RefusalRate,
    shape::{LineShape, is_extra, is_known_measurement},
};

/// The knowledge about one destination. It is bounded, and each entry expires, since a type or a
/// limit can be corrected at the server at any time.
#[derive(Debug)]
pub(in super::super) struct RefusalCache {
    /// Whether refused points are sent without the columns of handlers.
    strips: bool,
    hasher: RandomState,
    shapes: HashMap<LineShape, ShapeRecord>,
    columns: HashMap<u64, RefusedColumn>,
    /// How many lines of accepted shapes are refused nevertheless, because of their values.
    rate: RefusalRate,
    /// Single lines that were accepted without their extras, and those that were still refused.
    saved: u32,
    not_saved: u32,
    /// When a line was last refused.
    refused_at: Option<Instant>,
    newly_refused: Vec<String>,
}

/// What is known of a line that was not sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LineStatus {
    /// Lines of its shape were accepted.
    Accepted,
    /// It has columns that are refused for this reason.
    Stripped(RejectReason),
    Unknown,
    /// Its shape is refused.
    Refused,
}

/// How refused lines were found, and thus what they say about others of their shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// A line that was chosen independent of whether it is refused.
    Sample,
    /// A line that was searched for, since one of several was refused.
    Search,
    /// All lines of the shape in a body, by the server's message.
    Whole,
    /// Some lines of the shape in a body, by the server's message.
    Named,
}

/// What is known of a shape.
#[derive(Debug)]
struct ShapeRecord {
    accepted: bool,
    /// Lines that were refused while none was accepted, without those that were searched for.
    refused: usize,
    trial: Option<ColumnSearch>,
    /// The columns of handlers are not the cause.
    not_the_extras: bool,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct RefusedColumn {
    reason: RejectReason,
    since: Instant,
}

impl RefusalCache {
    pub(in super::super) fn new(strips: bool) -> Self {
        Self {
            strips,
            hasher: RandomState::new(),
            shapes: HashMap::new(),
            columns: HashMap::new(),
            rate: RefusalRate::default(),
            saved: 0,
            not_saved: 0,
            refused_at: None,
            newly_refused: Vec::new(),
        }
    }

    /// Returns whether nothing was refused for a while. Batches are then sent as they are.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.refused_at.is_none()
    }

    /// Removes expired entries.
    pub(in super::super) fn forget(&mut self, now: Instant) {
        let old = |since: Instant| now.duration_since(since) >= REMEMBERED;
        if self.refused_at.is_some_and(old) {
            *self = Self::new(self.strips);
        } else if !self.is_empty() {
            self.columns.retain(|_, column| !old(column.since));
            self.shapes.retain(|_, known| !old(known.since));
        }
    }

    /// Takes the columns that were left out for the first time, as `measurement.column`.
    pub(in super::super) fn newly_refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.newly_refused)
    }

    pub(super) fn shape(&self, line: &[u8]) -> LineShape {
        LineShape::of(line, &self.hasher)
    }

    /// Groups the lines by shape, those of accepted shapes first.
    pub(super) fn by_shape(&self, batch: &Batch) -> Vec<(LineShape, Batch)> {
        let mut groups = batch.group_by(|line| self.shape(line));
        groups.sort_by_key(|(shape, _)| !self.is_accepted(*shape));
        groups
    }

    pub(super) fn fate(&self, line: &[u8]) -> LineStatus {
        if let Some((_, reason)) = self.stripped(line) {
            return LineStatus::Stripped(reason);
        }
        match self.shapes.get(&self.shape(line)) {
            Some(known) if known.accepted => LineStatus::Accepted,
            Some(known) if known.refused >= REFUSED_SHAPE => LineStatus::Refused,
            _ => LineStatus::Unknown,
        }
    }

    pub(super) fn is_accepted(&self, shape: LineShape) -> bool {
        self.shapes.get(&shape).is_some_and(|known| known.accepted)
    }

    /// Returns how many lines of a shape were refused one by one while none was accepted.
    pub(super) fn refusals(&self, shape: LineShape) -> usize {
        self.shapes.get(&shape).map_or(0, |known| known.refused)
    }

    /// Returns whether the shape itself counts as refused, because of its refused lines.
    pub(super) fn is_refused(&self, shape: LineShape) -> bool {
        self.refusals(shape) >= REFUSED_SHAPE
    }

    /// Records that the server accepted these lines.
    pub(in super::super) fn accepted(&mut self, batch: &Batch, now: Instant) {
        if self.is_empty() {
            return;
        }
        self.rate.count(batch.len(), 0);
        let mut last = None;
        for line in batch.lines() {
            let shape = self.shape(line);
            if last != Some(shape) {
                let known = self.known(shape, now);
                (known.accepted, known.refused) = (true, 0);
                last = Some(shape);
            }
        }
    }

    /// Records that the server refuses each of these lines of one shape.
    pub(super) fn refused(&mut self, shape: LineShape, lines: usize, found: FoundBy, now: Instant) {
        self.refused_at = Some(now);
        let known = self.known(shape, now);
        // Lines that were searched for say nothing about a shape of which no line was accepted yet.
        // Its other lines may be good, and are still to be sent.
        if found == FoundBy::Named || found == FoundBy::Search && !known.accepted {
            return;
        }
        known.refused += lines;
        if !known.accepted {
            return;
        }
        if known.refused >= REFUSED_SHAPE {
            // Types belong to a shard, so an accepted shape may be refused in another week.
            (known.accepted, known.refused) = (false, 0);
        }
        if found != FoundBy::Whole {
            self.rate.count(0, 1);
        }
    }

    /// Begins to remember accepted shapes, since the server refuses something.
    pub(super) fn begin(&mut self, now: Instant) {
        self.refused_at = Some(now);
    }

    /// Returns how many lines to test at once.
    pub(super) fn group(&self) -> usize {
        self.rate.group()
    }

    /// Returns the line without its refused columns, and the reason. Returns `None` if it has none.
    pub(super) fn stripped(&self, line: &[u8]) -> Option<(Vec<u8>, RejectReason)> {
        if self.columns.is_empty() {
            return None;
        }
        let measurement = Columns::of(line).measurement();
        let mut reason = None;
        let kept = without(line, |column| {
            let refused = self.columns.get(&self.column(measurement, column.key, column.kind));
            reason = refused.map(|refused| refused.reason).or(reason);
            refused.is_some()
        })?;
        Some((kept, reason?))
    }

    /// Returns the lines that have a refused column, and the others.
    pub(super) fn with_refused_columns(&self, batch: &Batch) -> (Option<Batch>, Option<Batch>) {
        if self.columns.is_empty() {
            return (None, Some(batch.clone()));
        }
        batch.partition(|_, line| self.stripped(line).is_some())
    }

    /// Returns the lines without their refused columns. Returns `None` if one of them has none.
    pub(super) fn form(&self, piece: &Piece) -> Option<Piece> {
        let (_, reason) = self.stripped(piece.first())?;
        let lines = piece.lines.map_lines(|line| Some(self.stripped(line)?.0))?;
        Some(Piece { lines, stripped: Some(reason) })
    }

    /// Records a refused column. Only columns of handlers are ever left out.
    pub(super) fn refuse_column(
        &mut self,
        measurement: &[u8],
        column: &ColumnName,
        reason: RejectReason,
        now: Instant,
    ) {
        if !self.strips || !is_extra(measurement, &column.0) {
            return;
        }
        if self.columns.len() >= MOST_COLUMNS {
            self.columns.clear();
        }
        self.refused_at = Some(now);
        let key = self.column(measurement, &column.0, column.1);
        if self.columns.insert(key, RefusedColumn { reason, since: now }).is_none() {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            self.newly_refused.push(format!("{}.{}", text(measurement), text(&column.0)));
        }
    }

    /// Returns the columns of handlers in the line, if these may be left out.
    pub(super) fn extras(&self, line: &[u8]) -> Vec<ColumnName> {
        let columns = Columns::of(line);
        let measurement = columns.measurement();
        if !self.strips || !is_known_measurement(measurement) {
            return Vec::new();
        }
        let extra = |column: &Column<'_>| is_extra(measurement, column.key);
        // One of the application's own points may use a measurement of ours with only its own
        // fields.
        if without(line, extra).is_none() {
            return Vec::new();
        }
        columns.filter(extra).map(|column| (column.key.to_vec(), column.kind)).collect()
    }

    /// Returns the next columns to omit from lines of this shape, the number of the step, and
    /// whether that applies to all lines. Returns `None` if columns are known not to be the cause.
    pub(super) fn trial(
        &mut self,
        shape: LineShape,
        line: &[u8],
        now: Instant,
    ) -> Option<(Vec<ColumnName>, u32, bool)> {
        let extras = self.extras(line);
        let known = self.known(shape, now);
        if extras.is_empty() || known.not_the_extras || known.accepted {
            return None;
        }
        let trial = known.trial.get_or_insert_with(|| ColumnSearch::new(extras));
        Some((trial.left_out(), trial.step(), trial.is_final()))
    }

    /// Records the answer to a step of a trial.
    pub(super) fn tried(
        &mut self,
        shape: LineShape,
        step: u32,
        line: &[u8],
        accepted: bool,
        reason: RejectReason,
        now: Instant,
    ) {
        let known = self.known(shape, now);
        let Some(trial) = known.trial.as_mut().filter(|trial| trial.step() == step) else { return };
        match if accepted { trial.accepted() } else { trial.refused() } {
            ColumnSearchResult::Open => {}
            ColumnSearchResult::NotTheCause => (known.trial, known.not_the_extras) = (None, true),
            ColumnSearchResult::Refused(columns) => {
                known.trial = None;
                let measurement = Columns::of(line).measurement();
                columns.iter().for_each(|column| self.refuse_column(measurement, column, reason, now));
            }
        }
    }

    /// Returns whether a refused line of an accepted shape may be accepted without its extras.
    pub(super) fn may_save(&self, line: &[u8]) -> bool {
        self.not_saved < self.saved + DISCOURAGED && !self.extras(line).is_empty()
    }

    pub(super) fn saved(&mut self, saved: bool) {
        let count = if saved { &mut self.saved } else { &mut self.not_saved };
        *count = count.saturating_add(1);
    }

    fn known(&mut self, shape: LineShape, now: Instant) -> &mut ShapeRecord {
        if self.shapes.len() >= MOST_SHAPES && !self.shapes.contains_key(&shape) {
            self.shapes.clear();
        }
        self.shapes.entry(shape).or_insert_with(|| ShapeRecord {
            accepted: false,
            refused: 0,
            trial: None,
            not_the_extras: false,
            since: now,
        })
    }

    fn column(&self, measurement: &[u8], key: &[u8], kind: ColumnKind) -> u64 {
        self.hasher.hash_one((measurement, key, kind))
    }
}

/// How long an entry is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(10 * 60);
pub(super) const MOST_SHAPES: usize = 4_096;
const MOST_COLUMNS: usize = 1_024;
/// How many lines of a shape are refused, with none accepted, before the shape counts as refused.
/// If a quarter of its lines were good, that would happen once in ten thousand times.
pub(super) const REFUSED_SHAPE: usize = 32;
/// How many more lines leaving out may fail to save than it saves, before it is no longer tried.
const DISCOURAGED: u32 = 8;
