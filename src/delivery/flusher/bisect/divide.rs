//! Divides a batch and its refused pieces: by what is known of their shapes, then by lines.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::{delivery::batch::Batch, stats::RejectReason};

use super::{
    super::pending::{History, PendingBatch},
    column_search::ColumnName,
    item::{Piece, Purpose, RefusedLines, SearchItem, Test, TrialKind},
    refusal_cache::{LineStatus, RefusalCache},
    search::Search,
    shape::LineShape,
    strip::leave_out,
};

impl Search {
    /// Cuts a batch before it is sent by what is known of its lines, so that good points do not
    /// wait for others. Returns `None` if it can be sent as it is.
    pub(in super::super) fn cut(batch: &Batch, pending: &PendingBatch, cache: &RefusalCache) -> Option<Self> {
        let (mut accepted, mut unknown, mut refused, mut stripped) = (None, None, None, Vec::new());
        for (fate, lines) in batch.group_by(|line| cache.fate(line)) {
            match fate {
                LineStatus::Accepted => accepted = Some(lines),
                LineStatus::Unknown => unknown = Some(lines),
                LineStatus::Refused => refused = Some(lines),
                LineStatus::Stripped(_) => stripped.extend(cache.form(&Piece::new(lines))),
            }
        }
        let whole = stripped.is_empty() && refused.is_none() && (accepted.is_none() || unknown.is_none());
        if whole && batch.len() / 3 < cache.group() {
            return None;
        }
        let mut search = Self::new(batch, pending, false);
        let history = History::new(pending.history.since, pending.history.blocked_before);
        let mut store = |piece| {
            let purpose = Purpose::Store { sibling: None };
            search.items.push_back(SearchItem::Test(Test { piece, purpose, history }));
        };
        accepted.into_iter().map(Piece::new).for_each(&mut store);
        stripped.into_iter().for_each(&mut store);
        unknown.into_iter().map(Piece::new).for_each(&mut store);
        for (shape, lines) in refused.iter().flat_map(|refused| cache.by_shape(refused)) {
            let piece = Piece::new(lines);
            search.items.push_back(SearchItem::Suspects { piece, shape, holds_refused: false });
        }
        Some(search)
    }

    /// Divides a piece that contains a refused line.
    pub(super) fn divide(&mut self, piece: Piece, cache: &RefusalCache) {
        let by_size = matches!(self.reason, RejectReason::TooLarge | RejectReason::Retention);
        if piece.len() == 1 || self.by_failure || by_size {
            return self.halve(piece, usize::MAX);
        }
        let groups = cache.by_shape(&piece.lines);
        if let [(shape, _)] = &groups[..] {
            return if cache.is_accepted(*shape) {
                self.halve(piece, cache.group());
            } else {
                self.items.push_front(SearchItem::Suspects { piece, shape: *shape, holds_refused: true });
            };
        }
        let accepted = groups.iter().filter(|(shape, _)| cache.is_accepted(*shape)).count();
        let cut = if (1..groups.len()).contains(&accepted) { accepted } else { groups.len() / 2 };
        let mut groups: VecDeque<Batch> = groups.into_iter().map(|(_, lines)| lines).collect();
        let rest: Vec<Batch> = groups.split_off(cut).into();
        if let (Some(first), Some(rest)) = (Batch::join(groups.make_contiguous()), Batch::join(&rest)) {
            let sibling = Some(piece.with(rest));
            self.test(piece.with(first), Purpose::Store { sibling });
        }
    }

    /// Halves a piece that contains a refused line, or first sends as many lines as are worth
    /// testing at once.
    fn halve(&mut self, piece: Piece, group: usize) {
        match piece.split_at((piece.len() / 2).min(group)) {
            Some((first, rest)) => self.test(first, Purpose::Store { sibling: Some(rest) }),
            None => self.ask(piece),
        }
    }

    /// Takes from a piece the lines that are better sent separately: those with columns known to be
    /// refused, which are left out.
    ///
    /// If single lines are often refused, a large piece would be refused, too. Then only as many
    /// lines are sent as are worth testing at once.
    pub(super) fn group(&mut self, test: Test, cache: &RefusalCache) -> Test {
        let group = cache.group();
        let store = matches!(test.purpose, Purpose::Store { sibling: None });
        if self.by_failure || !store {
            return test;
        }
        let (known, others) = cache.with_refused_columns(&test.piece.lines);
        if let Some(original) = known.map(|known| test.piece.with(known))
            && let Some(piece) = cache.form(&original)
        {
            others.into_iter().for_each(|others| self.ask(test.piece.with(others)));
            return Test {
                piece,
                purpose: Purpose::Trial { original, trial: TrialKind::Named },
                history: test.history,
            };
        }
        if test.piece.len() / 2 < group {
            return test;
        }
        let Some((piece, rest)) = test.piece.split_at(group) else { return test };
        self.items.push_front(SearchItem::Test(Test {
            piece: rest,
            purpose: test.purpose,
            history: test.history,
        }));
        Test { piece, purpose: Purpose::Store { sibling: None }, history: test.history }
    }

    /// Finds out with as few lines as possible whether the shape of these lines is refused.
    pub(super) fn examine(
        &mut self,
        piece: Piece,
        shape: LineShape,
        holds_refused: bool,
        cache: &mut RefusalCache,
    ) {
        if cache.is_accepted(shape) {
            if holds_refused {
                return self.items.push_back(SearchItem::Split(piece));
            }
            return self.ask(piece);
        }
        if let Some(form) = cache.form(&piece) {
            return self.test(form, Purpose::Trial { original: piece, trial: TrialKind::Named });
        }
        if piece.len() == 1 {
            return self.ask(piece);
        }
        if cache.refusals(shape) >= EXAMPLES
            && let Some((columns, step, is_final)) = cache.trial(shape, piece.first(), Instant::now())
        {
            let proven = None;
            return self.try_form(piece, &columns, TrialKind::Shape { shape, step, proven }, is_final);
        }
        let chosen = fastrand::usize(..piece.len());
        let (example, others) = piece.lines.partition(|number, _| number == chosen);
        let others = others.map(|others| piece.with(others));
        let Some(example) = example.map(|example| piece.with(example)) else { return };
        if cache.is_refused(shape) {
            return self.test(example, Purpose::Example { others });
        }
        if let Some(piece) = others {
            self.items.push_front(SearchItem::Suspects { piece, shape, holds_refused });
        }
        self.test(example, Purpose::Example { others: None });
    }

    /// Sends lines of one shape without these columns: all of them, or the first one.
    pub(super) fn try_form(&mut self, piece: Piece, columns: &[ColumnName], trial: TrialKind, all: bool) {
        let (original, others) = match piece.split_at(1) {
            Some((first, others)) if !all => (first, Some(others)),
            _ => (piece, None),
        };
        if let (Some(piece), TrialKind::Shape { shape, proven, .. }) = (others, trial) {
            match proven {
                Some(reason) => self.refused.push(RefusedLines { lines: piece, reason }),
                None => self.items.push_front(SearchItem::Suspects { piece, shape, holds_refused: false }),
            }
        }
        let reason = self.reason;
        match leave_out(&original, columns, reason) {
            Some(form) => self.test(form, Purpose::Trial { original, trial }),
            // Unreachable: lines without a field of ours have no columns that may be left out.
            None => self.reject(original, reason),
        }
    }
}

/// How many lines of a shape are refused alone before its other lines are tried without the columns
/// of handlers.
const EXAMPLES: usize = 3;
