//! Searches for the columns of handlers because of which the server refuses a shape.

use crate::line_protocol::ColumnKind;

/// A column of a shape: its encoded name, and its kind.
pub(super) type ColumnName = (Vec<u8>, ColumnKind);

/// The search for the refused columns of one shape, without I/O. It decides which columns to leave
/// out next, and what an answer means.
///
/// It assumes that a shape is refused because of single columns. First a line is sent without all
/// of them: if it is refused, they are not the cause. Then the first refused column is found by
/// halving, the shape without it is tried, and so on. Each step needs a new line, since an accepted
/// line is stored and must not be sent in another form.
#[derive(Debug)]
pub(super) struct ColumnSearch {
    extras: Vec<ColumnName>,
    /// The columns found so far, as indices into `extras`.
    found: Vec<usize>,
    /// With the first `low` columns, without those found, the shape is accepted. With the first
    /// `high` columns it is refused.
    low: usize,
    high: usize,
    stage: Stage,
    step: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Tries a line without any of the columns.
    Bare,
    Halving,
    /// Tries a line without the columns found.
    Confirming,
}

/// The result after an answer.
#[derive(Debug, PartialEq)]
pub(super) enum ColumnSearchResult {
    /// A further step is needed.
    Open,
    /// These columns are the cause.
    Refused(Vec<ColumnName>),
    /// The columns are not the cause.
    NotTheCause,
}

impl ColumnSearch {
    pub(super) fn new(extras: Vec<ColumnName>) -> Self {
        Self { low: 0, high: extras.len(), extras, found: Vec::new(), stage: Stage::Bare, step: 0 }
    }

    /// Returns the number of this step. Answers to other steps are ignored.
    pub(super) fn step(&self) -> u32 {
        self.step
    }

    /// Returns the columns that are left out in this step.
    pub(super) fn left_out(&self) -> Vec<ColumnName> {
        let out = |index: usize| match self.stage {
            Stage::Bare => true,
            Stage::Halving => index >= self.middle() || self.found.contains(&index),
            Stage::Confirming => self.found.contains(&index),
        };
        let extras = self.extras.iter().enumerate();
        extras.filter(|(index, _)| out(*index)).map(|(_, column)| column.clone()).collect()
    }

    /// Returns whether this step's form is the one in which the lines will be stored. All of them
    /// can then be sent in it.
    pub(super) fn is_final(&self) -> bool {
        self.stage == Stage::Confirming || self.extras.len() == 1
    }

    /// Records that the server accepted the line of this step.
    pub(super) fn accepted(&mut self) -> ColumnSearchResult {
        self.step += 1;
        match self.stage {
            Stage::Bare if self.extras.len() == 1 => return ColumnSearchResult::Refused(self.extras.clone()),
            Stage::Bare => self.stage = Stage::Halving,
            Stage::Halving => self.low = self.middle(),
            Stage::Confirming => {
                let found = self.found.iter().map(|index| self.extras[*index].clone());
                return ColumnSearchResult::Refused(found.collect());
            }
        }
        self.narrow();
        ColumnSearchResult::Open
    }

    /// Records that the server refused the line of this step.
    pub(super) fn refused(&mut self) -> ColumnSearchResult {
        self.step += 1;
        match self.stage {
            Stage::Bare => return ColumnSearchResult::NotTheCause,
            Stage::Halving => self.high = self.middle(),
            Stage::Confirming if self.found.len() < MOST_FOUND && self.high < self.extras.len() => {
                (self.low, self.high) = (self.high, self.extras.len());
                self.stage = Stage::Halving;
            }
            // Finding more would cost more requests than the columns are worth. Without all of them
            // the shape was accepted.
            Stage::Confirming => return ColumnSearchResult::Refused(self.extras.clone()),
        }
        self.narrow();
        ColumnSearchResult::Open
    }

    fn narrow(&mut self) {
        if self.high - self.low <= 1 {
            self.found.push(self.high - 1);
            self.stage = Stage::Confirming;
        }
    }

    fn middle(&self) -> usize {
        usize::midpoint(self.low, self.high)
    }
}

/// The most columns that are found one by one. If there are more, all are left out.
const MOST_FOUND: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(count: usize) -> Vec<ColumnName> {
        (0..count).map(|number| (format!("c{number}").into_bytes(), ColumnKind::Float)).collect()
    }

    /// Returns the result for a server that refuses these columns, and the number of steps.
    fn verdict(count: usize, bad: &[usize]) -> (ColumnSearchResult, u32) {
        let all = columns(count);
        let bad: Vec<&ColumnName> = bad.iter().map(|index| &all[*index]).collect();
        let mut trial = ColumnSearch::new(all.clone());
        loop {
            let out = trial.left_out();
            let accepted = bad.iter().all(|column| out.contains(column));
            match if accepted { trial.accepted() } else { trial.refused() } {
                ColumnSearchResult::Open => assert!(trial.step() < 60, "it does not come to an end"),
                verdict => return (verdict, trial.step()),
            }
        }
    }

    #[test]
    fn exactly_the_refused_columns_are_found() {
        for count in 1..=12 {
            for first in 0..count {
                let (found, steps) = verdict(count, &[first]);
                assert_eq!(found, ColumnSearchResult::Refused(vec![columns(count)[first].clone()]));
                assert!(steps <= 6, "{count} columns: {steps} steps");
                for second in first + 1..count {
                    let expected = [first, second].map(|index| columns(count)[index].clone());
                    let ColumnSearchResult::Refused(mut found) = verdict(count, &[first, second]).0 else {
                        panic!()
                    };
                    found.sort_by_key(|(name, _)| name.clone());
                    let mut expected = expected.to_vec();
                    expected.sort_by_key(|(name, _)| name.clone());
                    assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn each_answer_makes_a_new_step_and_lines_are_stored_in_the_final_form() {
        for (count, bad) in [(1, vec![0]), (5, vec![3]), (5, vec![1, 4])] {
            let all = columns(count);
            let mut trial = ColumnSearch::new(all.clone());
            for step in 0.. {
                assert_eq!(trial.step(), step);
                let (out, is_final) = (trial.left_out(), trial.is_final());
                let accepted = bad.iter().all(|index: &usize| out.contains(&all[*index]));
                let result = if accepted { trial.accepted() } else { trial.refused() };
                let found = result == ColumnSearchResult::Refused(out);
                assert_eq!(found, accepted && is_final, "{count} {bad:?} {step}");
                if found {
                    break;
                }
            }
        }
        assert_eq!(verdict(1, &[0]).1, 1, "without the only one is the form");
    }

    #[test]
    fn four_columns_are_found_one_by_one_and_with_more_all_are_left_out() {
        let all = columns(20);
        let four = [1, 5, 9, 13].map(|index| all[index].clone()).to_vec();
        assert_eq!(verdict(20, &[1, 5, 9, 13]).0, ColumnSearchResult::Refused(four));
        assert_eq!(verdict(20, &[1, 5, 9, 13, 17]).0, ColumnSearchResult::Refused(all));
        // The server refuses the shape with any of the columns.
        let mut trial = ColumnSearch::new(columns(3));
        assert_eq!(trial.accepted(), ColumnSearchResult::Open);
        let last = (0..9).map(|_| trial.refused()).find(|result| *result != ColumnSearchResult::Open);
        assert_eq!((last, trial.step()), (Some(ColumnSearchResult::Refused(columns(3))), 6));
    }

    #[test]
    fn many_refused_columns_are_left_out_together() {
        let (found, steps) = verdict(20, &(0..20).collect::<Vec<_>>());
        assert_eq!(found, ColumnSearchResult::Refused(columns(20)));
        assert!(steps <= 30, "{steps} steps");
    }

    #[test]
    fn columns_are_not_the_cause_if_the_shape_is_refused_without_them() {
        let mut trial = ColumnSearch::new(columns(3));
        assert_eq!(trial.left_out().len(), 3);
        assert_eq!(trial.refused(), ColumnSearchResult::NotTheCause);
    }
}
