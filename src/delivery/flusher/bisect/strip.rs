//! Sends refused points without the columns that handlers added, so that the request keeps its
//! point.

use tokio::time::Instant;

use crate::{
    delivery::{batch::Batch, sink::Refused},
    line_protocol::without,
    stats::RejectReason,
};

use super::{
    chosen_by::ChosenBy,
    column_search::ColumnName,
    item::{Piece, Purpose, RefusedLines, SearchItem, TrialKind},
    refusal_cache::RefusalCache,
    search::Search,
};

impl Search {
    /// Tries refused lines without their extras. All other lines are settled by then.
    pub(super) fn try_without_extras(&mut self, cache: &mut RefusalCache) {
        let Some(RefusedLines { lines, reason }) = self.refused.pop() else { return };
        let shape = cache.shape(lines.first());
        let (same, others) = std::mem::take(&mut self.refused).into_iter().partition(|other| {
            other.reason == reason
                && other.lines.stripped == lines.stripped
                && cache.shape(other.lines.first()) == shape
        });
        self.refused = others;
        let same: Vec<Batch> = same.into_iter().map(|other: RefusedLines| other.lines.lines).collect();
        let all = Batch::join(&[vec![lines.lines.clone()], same].concat()).map(|all| lines.with(all));
        let Some(lines) = all else { return };
        self.reason = reason;
        if let Some(form) = cache.form(&lines) {
            return self.test(form, Purpose::Trial { original: lines, trial: TrialKind::Named });
        }
        if cache.is_accepted(shape) {
            if !cache.may_save(lines.first()) {
                return self.reject(lines, reason);
            }
            let columns = cache.extras(lines.first());
            return self.try_form(lines, &columns, TrialKind::Values, true);
        }
        match cache.trial(shape, lines.first(), Instant::now()) {
            Some((columns, step, is_final)) => {
                let proven = Some(reason);
                self.try_form(lines, &columns, TrialKind::Shape { shape, step, proven }, is_final);
            }
            None => self.reject(lines, reason),
        }
    }

    pub(super) fn trial_accepted(&mut self, original: &Piece, trial: TrialKind, cache: &mut RefusalCache) {
        match trial {
            TrialKind::Named => {}
            TrialKind::Values => cache.saved(true),
            TrialKind::Shape { shape, step, .. } => {
                cache.tried(shape, step, original.first(), true, self.reason, Instant::now());
            }
        }
    }

    pub(super) fn trial_refused(
        &mut self,
        form: Piece,
        original: Piece,
        trial: TrialKind,
        refused: &Refused,
        cache: &mut RefusalCache,
    ) {
        match trial {
            // They have another fault, too.
            TrialKind::Named => self.piece_refused(form, ChosenBy::Any, refused, cache),
            TrialKind::Values => match (original.split_at(original.len() / 2), form.split_at(form.len() / 2))
            {
                (Some((first, rest)), Some((first_form, rest_form))) => {
                    for (original, form) in [(rest, rest_form), (first, first_form)] {
                        self.test(form, Purpose::Trial { original, trial });
                    }
                }
                _ => {
                    cache.saved(false);
                    self.reject(original, refused.reason);
                }
            },
            TrialKind::Shape { shape, step, proven } => {
                cache.tried(shape, step, original.first(), false, refused.reason, Instant::now());
                match proven {
                    Some(reason) => self.refused.push(RefusedLines { lines: original, reason }),
                    None => {
                        self.items.push_front(SearchItem::Suspects {
                            piece: original,
                            shape,
                            holds_refused: false,
                        });
                    }
                }
            }
        }
    }
}

/// Returns the lines without these columns. Returns `None` if there is no column to leave out, or
/// if a line would have no field.
pub(super) fn leave_out(piece: &Piece, columns: &[ColumnName], reason: RejectReason) -> Option<Piece> {
    if columns.is_empty() {
        return None;
    }
    let lines = piece.lines.map_lines(|line| {
        without(line, |column| columns.iter().any(|(key, kind)| key == column.key && *kind == column.kind))
    })?;
    Some(Piece { lines, stripped: Some(reason) })
}
