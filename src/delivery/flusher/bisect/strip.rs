//! Refused points without what handlers added to them: the request keeps its point.

use tokio::time::Instant;

use crate::{
    delivery::{batch::Batch, sink::Refused},
    line_protocol::without,
    stats::RejectReason,
};

use super::{
    choice::Choice,
    item::{Item, Piece, Purpose, RefusedLines, TrialOf},
    learned::Learned,
    search::Search,
    trial::ColumnName,
};

impl Search {
    /// Tries the lines without their extras. Everything else is known: what is left was refused as
    /// it is.
    pub(super) fn try_without_extras(&mut self, learned: &mut Learned) {
        let Some(RefusedLines { lines, reason }) = self.refused.pop() else { return };
        let shape = learned.shape(lines.first());
        let (same, others) = std::mem::take(&mut self.refused).into_iter().partition(|other| {
            other.reason == reason
                && other.lines.stripped == lines.stripped
                && learned.shape(other.lines.first()) == shape
        });
        self.refused = others;
        let same: Vec<Batch> = same.into_iter().map(|other: RefusedLines| other.lines.lines).collect();
        let all = Batch::join(&[vec![lines.lines.clone()], same].concat()).map(|all| lines.with(all));
        let Some(lines) = all else { return };
        self.reason = reason;
        if let Some(form) = learned.form(&lines) {
            return self.test(form, Purpose::Trial { original: lines, trial: TrialOf::Named });
        }
        if learned.is_accepted(shape) {
            if !learned.may_save(lines.first()) {
                return self.reject(lines, reason);
            }
            let columns = learned.extras(lines.first());
            return self.try_form(lines, &columns, TrialOf::Values, true);
        }
        match learned.trial(shape, lines.first(), Instant::now()) {
            Some((columns, step, is_final)) => {
                let proven = Some(reason);
                self.try_form(lines, &columns, TrialOf::Shape { shape, step, proven }, is_final);
            }
            None => self.reject(lines, reason),
        }
    }

    pub(super) fn trial_accepted(&mut self, original: &Piece, trial: TrialOf, learned: &mut Learned) {
        match trial {
            TrialOf::Named => {}
            TrialOf::Values => learned.saved(true),
            TrialOf::Shape { shape, step, .. } => {
                learned.tried(shape, step, original.first(), true, self.reason, Instant::now());
            }
        }
    }

    pub(super) fn trial_refused(
        &mut self,
        form: Piece,
        original: Piece,
        trial: TrialOf,
        refused: &Refused,
        learned: &mut Learned,
    ) {
        match trial {
            // Something else is wrong with them, too.
            TrialOf::Named => self.piece_refused(form, Choice::Any, refused, learned),
            TrialOf::Values => match (original.split_at(original.len() / 2), form.split_at(form.len() / 2)) {
                (Some((first, rest)), Some((first_form, rest_form))) => {
                    for (original, form) in [(rest, rest_form), (first, first_form)] {
                        self.test(form, Purpose::Trial { original, trial });
                    }
                }
                _ => {
                    learned.saved(false);
                    self.reject(original, refused.reason);
                }
            },
            TrialOf::Shape { shape, step, proven } => {
                learned.tried(shape, step, original.first(), false, refused.reason, Instant::now());
                match proven {
                    Some(reason) => self.refused.push(RefusedLines { lines: original, reason }),
                    None => {
                        self.items.push_front(Item::Suspects {
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

/// Returns the lines without these columns. `None` where there are none to be left out, or a line
/// would have no field.
pub(super) fn leave_out(piece: &Piece, columns: &[ColumnName], reason: RejectReason) -> Option<Piece> {
    if columns.is_empty() {
        return None;
    }
    let lines = piece.lines.map_lines(|line| {
        without(line, |column| columns.iter().any(|(key, kind)| key == column.key && *kind == column.kind))
    })?;
    Some(Piece { lines, stripped: Some(reason) })
}
