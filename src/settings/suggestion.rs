//! Which known name somebody most likely meant.

/// The known name with the fewest letters to change, and of several the first one.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A key of a megabyte must not cost a megabyte times every name.
    let word: Vec<char> = word.chars().take(MAX_LETTERS).collect();
    known.into_iter().min_by_key(|name| distance(&word, name))
}

/// Letters to insert, remove, replace or exchange with their neighbour until one word is the other.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = Vec::with_capacity(to.len() + 1);
        current.push(row + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut least = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let exchanged = row > 0 && column > 0 && from[row - 1] == *other && *letter == to[column - 1];
            if exchanged {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

const MAX_LETTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: &str, to: &str) -> usize {
        distance(&from.chars().collect::<Vec<_>>(), to)
    }

    #[test]
    fn distances_count_letters() {
        assert_eq!(between("", ""), 0);
        assert_eq!(between("", "abc"), 3);
        assert_eq!(between("abc", ""), 3);
        assert_eq!(between("bucket", "bucket"), 0);
        assert_eq!(between("buckt", "bucket"), 1);
        assert_eq!(between("buckett", "bucket"), 1);
        assert_eq!(between("bocket", "bucket"), 1);
        assert_eq!(between("ubcket", "bucket"), 1);
        assert_eq!(between("kitten", "sitting"), 3);
        assert_eq!(between("größe", "grosse"), 3);
    }

    #[test]
    fn the_nearest_name_is_named() {
        let known = ["token", "token_file", "bucket", "url"];
        assert_eq!(nearest("tokn", known), Some("token"));
        assert_eq!(nearest("token_fil", known), Some("token_file"));
        assert_eq!(nearest("uri", known), Some("url"));
        assert_eq!(nearest("x", []), None);
        assert!(nearest(&"x".repeat(1_000_000), known).is_some());
    }
}
