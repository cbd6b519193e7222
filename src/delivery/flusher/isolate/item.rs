//! What a search still has to find out.

use crate::delivery::batch::Batch;

use super::super::held::History;

#[derive(Debug)]
pub(super) enum Item {
    /// Nobody knows.
    Test(Test),
    /// There is a bad line in it.
    Split(Batch),
}

#[derive(Debug)]
pub(super) struct Test {
    pub(super) piece: Batch,
    /// If the piece is good, the bad line is in here.
    pub(super) sibling: Option<Batch>,
    pub(super) sampled: bool,
    /// The server's words led to it.
    pub(super) pointed_at: bool,
    pub(super) history: History,
}

impl Item {
    pub(super) fn batches(&self) -> [Option<&Batch>; 2] {
        match self {
            Self::Test(test) => test.batches(),
            Self::Split(batch) => [Some(batch), None],
        }
    }

    pub(super) fn into_batches(self) -> impl Iterator<Item = Batch> {
        let (first, second) = match self {
            Self::Test(test) => (test.piece, test.sibling),
            Self::Split(batch) => (batch, None),
        };
        [Some(first), second].into_iter().flatten()
    }
}

impl Test {
    pub(super) fn batches(&self) -> [Option<&Batch>; 2] {
        [Some(&self.piece), self.sibling.as_ref()]
    }
}

/// Each line alone.
pub(super) fn lines(batch: &Batch) -> Vec<Batch> {
    let mut rest = Some(batch.clone());
    std::iter::from_fn(|| {
        let whole = rest.take()?;
        match whole.split_at(1) {
            Some((line, others)) => {
                rest = Some(others);
                Some(line)
            }
            None => Some(whole),
        }
    })
    .collect()
}
