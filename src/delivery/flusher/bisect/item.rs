//! What a search still has to find out.

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
    /// There is a refused line in it.
    Split(Piece),
    /// All of one shape, of which lines were refused and none was accepted yet. With
    /// `holds_refused`, there is a refused line in it.
    Suspects { piece: Piece, shape: LineShape, holds_refused: bool },
}

#[derive(Debug)]
pub(super) struct Test {
    pub(super) piece: Piece,
    pub(super) purpose: Purpose,
    pub(super) history: History,
}

/// Why a piece is sent, and by that what its answer means for others.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To be stored. If it is accepted, there is a refused line in the sibling.
    Store { sibling: Option<Piece> },
    /// The server's words led to it.
    Named,
    /// One line in place of the others of its shape, all of which have been refused so far.
    Example { others: Option<Piece> },
    /// Refused lines in another form; they are in the search as they were.
    Trial { original: Piece, trial: TrialKind },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TrialKind {
    /// Without columns that are known to be refused, or that the server names.
    Named,
    /// A step in the search for the columns that make the shape refused. With `proven`, the lines
    /// were refused as they are.
    Shape { shape: LineShape, step: u32, proven: Option<RejectReason> },
    /// Single lines of a shape that is accepted otherwise, without all that handlers added.
    Values,
}

/// Lines of one shape that were refused alone, or proven refused. They may still be accepted
/// without what handlers added.
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

    /// Creates a piece with other lines, of the same form.
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
