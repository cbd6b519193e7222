//! Whole encoded lines on their way to a sink.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use crate::clock::MonotonicInstant;

/// Lines of line protocol, which a [`Sink`](crate::sink::Sink) writes together. A batch is
/// immutable.
///
/// Each line is one point with a timestamp in nanoseconds. It has at most 64 KiB, ends in `\n`, and
/// contains no other line break. A batch is never empty. Clones share the bytes, so cloning is
/// cheap.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    lines: usize,
    sequence: u64,
    created: SystemTime,
    /// The time of sealing by a clock that cannot be set.
    sealed: MonotonicInstant,
}

impl Batch {
    /// Creates a batch from `bytes`, which holds exactly `lines` lines, each with its `
    /// `.
    pub(crate) fn new(bytes: Bytes, lines: usize, sequence: u64, created: SystemTime) -> Self {
        debug_assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), lines);
        debug_assert!(bytes.last() == Some(&b'\n'));
        Self { bytes, lines, sequence, created, sealed: MonotonicInstant::now() }
    }

    /// Creates a batch of these lines. Use it to test a [`Sink`](crate::sink::Sink) without a
    /// monitor, or in a sink that changes lines and passes them to another sink.
    ///
    /// Each item is one point in line protocol, without its line break. The syntax is not checked.
    /// Returns `None` if there is no line, or if a line is empty or contains a line break.
    ///
    /// ```
    /// use tower_influx::sink::Batch;
    ///
    /// let batch = Batch::from_lines(["jobs,queue=mail attempts=2i 1700000000000000000"]).expect("one line");
    /// assert_eq!((batch.len(), batch.bytes().last()), (1, Some(&b'\n')));
    /// ```
    pub fn from_lines<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Option<Self> {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for line in lines {
            let line = line.as_ref();
            if line.is_empty() || line.contains(&b'\n') {
                return None;
            }
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
            count += 1;
        }
        (count > 0).then(|| Self::new(bytes.into(), count, 0, SystemTime::now()))
    }

    /// Sets the [sequence number](Self::sequence). It is 0 for a batch made by
    /// [`from_lines`](Self::from_lines).
    #[must_use]
    pub fn with_sequence(self, sequence: u64) -> Self {
        Self { sequence, ..self }
    }

    /// Sets when the batch was created. For a batch made by [`from_lines`](Self::from_lines), it is
    /// the time of that call.
    #[must_use]
    pub fn with_created(self, created: SystemTime) -> Self {
        Self { created, ..self }
    }

    /// Returns all lines with their line breaks, as the body of a request or the content of a file.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the number of lines, which is the number of points.
    pub fn len(&self) -> usize {
        self.lines
    }

    /// Returns false, since a batch always has at least one line.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Returns the number of this batch in the order in which this process created batches. The
    /// parts of a divided batch keep its number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns when the batch was created. For a batch from the spool, this is the time of its
    /// first creation.
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// Returns how long ago the batch was sealed, independent of the system's clock.
    pub(crate) fn age(&self) -> Duration {
        self.sealed.elapsed()
    }

    /// Returns when the batch was sealed, by a clock that cannot be set.
    pub(crate) fn sealed(&self) -> MonotonicInstant {
        self.sealed
    }

    /// Sets when the batch was sealed.
    pub(crate) fn sealed_at(self, sealed: MonotonicInstant) -> Self {
        Self { sealed, ..self }
    }

    /// Returns the lines, without their line breaks.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'\n').take(self.lines)
    }

    /// Returns the first `count` lines and the remaining ones, or `None` if one of the two would be
    /// empty.
    pub(crate) fn split_at(&self, count: usize) -> Option<(Self, Self)> {
        if count == 0 || count >= self.lines {
            return None;
        }
        let end = self.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(count - 1)?.0 + 1;
        let piece = |bytes, lines| Self { bytes, lines, ..self.clone() };
        Some((piece(self.bytes.slice(..end), count), piece(self.bytes.slice(end..), self.lines - count)))
    }

    /// Copies the lines into memory of their own. Otherwise a piece keeps the memory of the whole
    /// batch.
    pub(crate) fn detached(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..self.clone() }
    }

    /// Joins the lines of these pieces of one batch. Returns `None` if there are no pieces.
    pub(crate) fn join(pieces: &[Self]) -> Option<Self> {
        let first = pieces.first()?;
        let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.bytes.len()).sum());
        pieces.iter().for_each(|piece| bytes.extend_from_slice(&piece.bytes));
        let lines = pieces.iter().map(Self::len).sum();
        Some(Self { bytes: bytes.into(), lines, ..first.clone() })
    }

    /// Groups the lines by key, in the order in which the keys first occur.
    pub(crate) fn group_by<K: Copy + Eq + Hash>(&self, mut key: impl FnMut(&[u8]) -> K) -> Vec<(K, Self)> {
        let mut groups: Vec<(K, Vec<u8>, usize)> = Vec::new();
        let mut places: HashMap<K, usize> = HashMap::new();
        for line in self.lines() {
            let key = key(line);
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((key, Vec::new(), 0));
                groups.len() - 1
            });
            let (_, bytes, lines) = &mut groups[place];
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
            *lines += 1;
        }
        let group = |(key, bytes, lines)| (key, Self { bytes: Bytes::from(bytes), lines, ..self.clone() });
        groups.into_iter().map(group).collect()
    }

    /// Maps each line to another form. Returns `None` if `form` returns `None` for a line.
    pub(crate) fn map_lines(&self, mut form: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<Self> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for line in self.lines() {
            bytes.extend(form(line)?);
        }
        Some(Self { bytes: bytes.into(), ..self.clone() })
    }

    /// Returns the lines for which `select` is true, and the others. Each is `None` if it would be
    /// empty.
    pub(crate) fn partition(
        &self,
        mut select: impl FnMut(usize, &[u8]) -> bool,
    ) -> (Option<Self>, Option<Self>) {
        let (mut chosen, mut others) = ((Vec::new(), 0), (Vec::new(), 0));
        for (number, line) in self.lines().enumerate() {
            let side = if select(number, line) { &mut chosen } else { &mut others };
            side.0.extend_from_slice(line);
            side.0.push(b'\n');
            side.1 += 1;
        }
        let piece = |(bytes, lines): (Vec<u8>, usize)| {
            (lines > 0).then(|| Self { bytes: bytes.into(), lines, ..self.clone() })
        };
        (piece(chosen), piece(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &'static str) -> Batch {
        Batch::new(Bytes::from_static(text.as_bytes()), text.matches('\n').count(), 7, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn lines_make_a_batch_and_come_back() {
        let batch = Batch::from_lines(["a", "bb"]).expect("two lines").with_sequence(3);
        assert_eq!((&batch.bytes()[..], batch.len(), batch.sequence()), (&b"a\nbb\n"[..], 2, 3));
        assert!(!batch.is_empty());
        let again = Batch::from_lines(batch.lines()).expect("the same").with_created(SystemTime::UNIX_EPOCH);
        assert_eq!((again.bytes(), again.created()), (batch.bytes(), SystemTime::UNIX_EPOCH));
        for wrong in [&[][..], &[""], &["a", ""], &["a\nb"]] {
            assert!(Batch::from_lines(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_split_keeps_every_line_once() {
        let whole = batch("a\nbb\nccc\n");
        let (first, rest) = whole.split_at(1).expect("three lines split");
        assert_eq!((&first.bytes()[..], first.len()), (&b"a\n"[..], 1));
        assert_eq!((&rest.bytes()[..], rest.len(), rest.sequence()), (&b"bb\nccc\n"[..], 2, 7));
        assert!(whole.split_at(0).is_none() && whole.split_at(3).is_none());
    }

    #[test]
    fn pieces_are_joined_again() {
        let whole = batch("a\nbb\nccc\n");
        let (first, rest) = whole.split_at(2).expect("three lines split");
        let joined = Batch::join(&[rest, first]).expect("two pieces");
        assert_eq!((&joined.bytes()[..], joined.len(), joined.sequence()), (&b"ccc\na\nbb\n"[..], 3, 7));
        assert!(Batch::join(&[]).is_none());
    }

    #[test]
    fn groups_keep_every_line_once() {
        let groups = batch("a\nbb\nc\ndd\n").group_by(<[u8]>::len);
        let text: Vec<_> =
            groups.iter().map(|(length, group)| (*length, &group.bytes()[..], group.len())).collect();
        assert_eq!(text, [(1, &b"a\nc\n"[..], 2), (2, b"bb\ndd\n", 2)]);
    }

    #[test]
    fn lines_change_their_form_one_for_one() {
        let whole = batch("a\nbb\n");
        let form = whole.map_lines(|line| Some([line, b"!\n"].concat())).expect("each has a form");
        assert_eq!((&form.bytes()[..], form.len(), form.sequence()), (&b"a!\nbb!\n"[..], 2, 7));
        assert!(whole.map_lines(|line| (line.len() == 1).then(|| line.to_vec())).is_none());
    }

    #[test]
    fn a_partition_keeps_every_line_once() {
        let (chosen, others) = batch("a\nbb\nccc\n").partition(|number, _| number == 1);
        assert_eq!(chosen.expect("one").bytes(), "bb\n");
        assert_eq!(others.expect("two").lines().collect::<Vec<_>>(), [&b"a"[..], b"ccc"]);
        assert!(batch("a\n").partition(|_, _| true).1.is_none());
    }
}
