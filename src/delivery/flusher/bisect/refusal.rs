//! What a refused piece means for its lines.

use std::collections::HashSet;

use tokio::time::Instant;

use crate::{
    delivery::{
        batch::Batch,
        sink::{Hint, Refused},
    },
    line_protocol::Columns,
    stats::RejectReason,
};

use super::{
    attribution::{Attribution, names},
    chosen_by::{ChosenBy, is_by_columns},
    column_search::ColumnName,
    item::{Piece, Purpose, RefusedLines, SearchItem, TrialKind},
    refusal_cache::{FoundBy, RefusalCache},
    search::Search,
    shape::LineShape,
    strip::leave_out,
};

impl Search {
    /// Records that the server refused something in this piece. `choice` is how its lines were
    /// chosen.
    pub(super) fn piece_refused(
        &mut self,
        piece: Piece,
        choice: ChosenBy,
        refused: &Refused,
        cache: &mut RefusalCache,
    ) {
        if piece.len() == 1 {
            let found = if choice.tells_of_shape(refused) { FoundBy::Sample } else { FoundBy::Search };
            return self.lines_refused(piece, refused, found, cache);
        }
        // Messages that do not fit our lines would cost requests without end, two lines at a time.
        let trusted = self.misses < self.hits + TRUST;
        match Attribution::read(&piece.lines, refused).filter(|_| trusted) {
            Some(Attribution { proven, suspects, rest }) => {
                let others = [&rest, &suspects].into_iter().flatten().flat_map(Batch::lines);
                let others: HashSet<LineShape> = others.map(|line| cache.shape(line)).collect();
                if let Some(rest) = rest {
                    self.ask_rest(piece.with(rest), refused);
                }
                // Before the rest: if the suspects are accepted, the server's message about the
                // rest is not trusted.
                suspects.into_iter().for_each(|lines| self.suspect(piece.with(lines), refused, cache));
                let proven = proven.iter().flat_map(|proven| cache.by_shape(proven));
                for (shape, lines) in proven.collect::<Vec<_>>() {
                    let all = !others.contains(&shape) && choice.tells_of_shape(refused);
                    let found = if all { FoundBy::Whole } else { FoundBy::Named };
                    self.lines_refused(piece.with(lines), refused, found, cache);
                }
            }
            None => self.split(piece, cache),
        }
    }

    /// Tests the lines that the answer does not name. A server that names only the first bad line
    /// has read the lines before it without a fault. The lines after it may contain more bad ones,
    /// and all would be sent again for each.
    fn ask_rest(&mut self, rest: Piece, refused: &Refused) {
        let first = match &refused.hint {
            Hint::Lines(numbers) if !refused.proof.certain => numbers.iter().min(),
            _ => None,
        };
        match first.and_then(|first| rest.split_at(*first)) {
            Some((before, after)) => {
                self.ask(after);
                self.ask(before);
            }
            None => self.ask(rest),
        }
    }

    /// Splits a piece with a refused line. If it is the only such piece, all others are sent first.
    /// Otherwise it is finished before the next one. Dividing all of them in turn would cost
    /// useless requests before it shows how many lines are refused.
    pub(super) fn split(&mut self, piece: Piece, cache: &RefusalCache) {
        let only = !self.items.iter().any(|item| matches!(item, SearchItem::Split(_)));
        if only && cache.group() == usize::MAX {
            self.items.push_back(SearchItem::Split(piece));
        } else {
            self.items.push_front(SearchItem::Split(piece));
        }
    }

    /// Records that each of these lines, which have one shape, is refused. They were sent alone, or
    /// the server's message proves it.
    fn lines_refused(&mut self, piece: Piece, refused: &Refused, found: FoundBy, cache: &mut RefusalCache) {
        cache.refused(cache.shape(piece.first()), piece.len(), found, Instant::now());
        let named = self.named(&piece, refused, cache);
        match leave_out(&piece, &named, refused.reason) {
            Some(form) => self.test(form, Purpose::Trial { original: piece, trial: TrialKind::Named }),
            None => self.reject_or_try(piece, refused.reason, cache),
        }
    }

    /// Rejects the lines, unless they may be accepted without the columns of handlers.
    pub(super) fn reject_or_try(&mut self, lines: Piece, reason: RejectReason, cache: &RefusalCache) {
        if is_by_columns(reason) && !self.by_failure && !cache.extras(lines.first()).is_empty() {
            self.refused.push(RefusedLines { lines, reason });
        } else {
            self.reject(lines, reason);
        }
    }

    /// Suspects these lines: the server's message points at them, which is not a proof.
    fn suspect(&mut self, piece: Piece, refused: &Refused, cache: &mut RefusalCache) {
        let mut others = Vec::new();
        for (_, lines) in cache.by_shape(&piece.lines) {
            let lines = piece.with(lines);
            let named = self.named(&lines, refused, cache);
            match leave_out(&lines, &named, refused.reason) {
                Some(form) => self.test(form, Purpose::Trial { original: lines, trial: TrialKind::Named }),
                None => others.push(lines.lines),
            }
        }
        let Some(others) = Batch::join(&others) else { return };
        let as_group = refused.proof.dropped.is_some() || !refused.proof.columns.is_empty();
        if others.len() <= SINGLES {
            let alone = others.group_by(alone());
            alone.into_iter().for_each(|(_, line)| self.test(piece.with(line), Purpose::Named));
        } else if as_group {
            // The answer to these lines alone tells how many of them are refused.
            self.test(piece.with(others), Purpose::Named);
        } else {
            self.items.push_back(SearchItem::Split(piece.with(others)));
        }
    }

    /// Returns the columns of handlers in these lines of one shape that the server names as the
    /// cause. A wrong type belongs to the column, so it is remembered.
    fn named(&self, piece: &Piece, refused: &Refused, cache: &mut RefusalCache) -> Vec<ColumnName> {
        if refused.proof.columns.is_empty() {
            return Vec::new();
        }
        let line = piece.first();
        let extras = cache.extras(line);
        let columns = Columns::of(line).filter(|column| names(refused, column));
        let named = columns.map(|column| (column.key.to_vec(), column.kind));
        let named: Vec<ColumnName> = named.filter(|column| extras.contains(column)).collect();
        if refused.reason == RejectReason::FieldType {
            let measurement = Columns::of(line).measurement();
            for column in &named {
                cache.refuse_column(measurement, column, refused.reason, Instant::now());
            }
        }
        named
    }
}

/// Returns a function that assigns each line a key of its own.
fn alone() -> impl FnMut(&[u8]) -> usize {
    let mut number = 0;
    move |_| {
        number += 1;
        number
    }
}

/// The most suspects that are tested one by one.
const SINGLES: usize = 8;
/// How many accepted lines a server may point at before its messages are no longer trusted.
const TRUST: usize = 3;
