//! Suggests a known name for a misspelled one.

/// Returns the known name with the smallest edit distance, and of several the first one.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The cost of a very long key must be bounded.
    let word: String = word.chars().take(MAX_LETTERS).collect();
    known.into_iter().min_by_key(|name| strsim::osa_distance(&word, name))
}

const MAX_LETTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    use strsim::osa_distance as between;

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
    fn the_most_similar_name_is_suggested() {
        let known = ["token", "token_file", "bucket", "url"];
        assert_eq!(suggestion("tokn", known), Some("token"));
        assert_eq!(suggestion("token_fil", known), Some("token_file"));
        assert_eq!(suggestion("uri", known), Some("url"));
        assert_eq!(suggestion("x", []), None);
        assert!(suggestion(&"x".repeat(1_000_000), known).is_some());
    }
}
