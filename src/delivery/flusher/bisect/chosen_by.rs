//! How refused lines were chosen, and what that says about others.

use crate::{delivery::sink::Refused, stats::RejectReason};

/// How the lines of a piece were chosen from the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChosenBy {
    /// Independent of whether they are refused.
    Any,
    /// Because they fail.
    Failing,
    /// By the server's message.
    Named,
}

impl ChosenBy {
    /// Returns whether a refusal of these lines says anything about others of their shape, which
    /// may be good.
    pub(super) fn tells_of_shape(self, refused: &Refused) -> bool {
        // A time and a size do not depend on the shape of a line.
        is_by_columns(refused.reason)
            && match self {
                Self::Any => true,
                Self::Failing => false,
                Self::Named => !refused.proof.columns.is_empty(),
            }
    }
}

/// Returns whether a refusal for this reason may be caused by the columns of a line, and thus by
/// its shape.
pub(super) fn is_by_columns(reason: RejectReason) -> bool {
    !matches!(reason, RejectReason::Retention | RejectReason::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sink::Proof;

    /// Wrong conclusions about a shape lose good points.
    #[test]
    fn a_refusal_applies_to_others_of_the_shape_only_if_columns_are_the_cause() {
        let columns = vec![("v".to_owned(), None)];
        let named = Refused { proof: Box::new(Proof { columns, ..Proof::default() }), ..Refused::default() };
        let unnamed = Refused::default();
        for (choice, by_its_reason, with_columns) in
            [(ChosenBy::Any, true, true), (ChosenBy::Failing, false, false), (ChosenBy::Named, false, true)]
        {
            assert_eq!(choice.tells_of_shape(&unnamed), by_its_reason, "{choice:?}");
            assert_eq!(choice.tells_of_shape(&named), with_columns, "{choice:?}");
            // A time and a size do not depend on columns.
            for reason in [RejectReason::Retention, RejectReason::TooLarge] {
                assert!(!choice.tells_of_shape(&Refused { reason, ..named.clone() }), "{choice:?} {reason}");
            }
        }
    }
}
