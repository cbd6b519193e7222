//! The remaining tests of a search.

use crate::{delivery::batch::Batch, stats::RejectReason};

use super::{super::pending::History, shape::LineShape};

/// Some lines of the batch, in the form in which they are sent.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) lines: Batch,
    /// Why columns were left out of each of these lines.
    pub(super) stripped: Option<RejectReason>,
}

#[derive(Debug)]
pub(super) enum SearchItem {
    /// To be sent.
    Test(Test),
    /// Contains a refused line.
    Split(Piece),
    /// Lines of one shape, of which some were refused and none was accepted yet. With
    /// `holds_refused`, one of these lines is refused.
    Suspects { piece: Piece, shape: LineShape, holds_refused: bool },
}

#[derive(Debug)]
pub(super) struct Test {
    pub(super) piece: Piece,
    pub(super) purpose: Purpose,
    pub(super) history: History,
}

/// Why a piece is sent, and thus what its answer means for others.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To be stored. If it is accepted, the sibling contains a refused line.
    Store { sibling: Option<Piece> },
    /// The server's message pointed at it.
    Named,
    /// One line as an example of its shape, of which all lines were refused so far.
    Example { others: Option<Piece> },
    /// Refused lines in another form. The search keeps their original form.
    Trial { original: Piece, trial: TrialKind },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TrialKind {
    /// Without columns that are known to be refused, or that the server names.
    Named,
    /// A step in the search for the columns because of which the shape is refused. With `proven`,
    /// the lines were refused in their original form.
    Shape { shape: LineShape, step: u32, proven: Option<RejectReason> },
    /// Single lines of an otherwise accepted shape, without all columns of handlers.
    Values,
}

/// Lines of one shape that were refused alone, or proven refused. They may still be accepted
/// without the columns of handlers.
#[derive(Debug)]
pub(super) struct RefusedLines {
    pub(super) lines: Piece,
    pub(super) reason: RejectReason,
}

impl Piece {
    pub(super) fn new(lines: Batch) -> Self {
        Self { lines, stripped: None }
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns the first line.
    pub(super) fn first(&self) -> &[u8] {
        self.lines.lines().next().unwrap_or_default()
    }

    /// Creates a piece with other lines in the same form.
    pub(super) fn with(&self, lines: Batch) -> Self {
        Self { lines, stripped: self.stripped }
    }

    pub(super) fn split_at(&self, count: usize) -> Option<(Self, Self)> {
        let (first, rest) = self.lines.split_at(count)?;
        Some((self.with(first), self.with(rest)))
    }
}

impl SearchItem {
    pub(super) fn batches(&self) -> [Option<&Batch>; 2] {
        match self {
            Self::Test(test) => test.batches(),
            Self::Split(piece) | Self::Suspects { piece, .. } => [Some(&piece.lines), None],
        }
    }
}

impl Test {
    /// Returns the lines that are in the search because of this test, each once.
    pub(super) fn batches(&self) -> [Option<&Batch>; 2] {
        match &self.purpose {
            Purpose::Store { sibling: other } | Purpose::Example { others: other } => {
                [Some(&self.piece.lines), other.as_ref().map(|piece| &piece.lines)]
            }
            Purpose::Named => [Some(&self.piece.lines), None],
            Purpose::Trial { original, .. } => [Some(&original.lines), None],
        }
    }
}
