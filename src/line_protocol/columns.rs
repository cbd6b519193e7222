//! Iterates over the columns of a line that this crate wrote, without a copy.

use std::borrow::Cow;

/// The kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ColumnKind {
    Tag,
    Float,
    Integer,
    String,
    Boolean,
}

/// One tag or field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column<'a> {
    /// The encoded name, with its escapes.
    pub(crate) key: &'a [u8],
    pub(crate) kind: ColumnKind,
    /// The name, an equals sign and the value.
    pub(crate) text: &'a [u8],
}

/// The columns of one line, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Columns<'a> {
    measurement: &'a [u8],
    rest: &'a [u8],
    tags: bool,
}

impl<'a> Columns<'a> {
    /// Begins to read a line, with or without its line break.
    pub(crate) fn of(line: &'a [u8]) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (measurement, rest) = line.split_at(name_end(line, false));
        Self { measurement, rest, tags: true }
    }

    /// Returns the encoded measurement.
    pub(crate) fn measurement(&self) -> &'a [u8] {
        self.measurement
    }

    /// Returns whether the measurement has this name, which is given without escapes.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        unescaped(self.measurement, false) == name.as_bytes()
    }

    /// Returns the rest of the line after the columns read so far. After the last one, that is a
    /// space and the timestamp.
    fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    fn next(&mut self) -> Option<Column<'a>> {
        let separator = *self.rest.first()?;
        if separator == b' ' && !self.tags {
            return None;
        }
        self.tags &= separator == b',';
        let text = &self.rest[1..];
        let key = &text[..name_end(text, true)];
        let value = text[key.len()..].strip_prefix(b"=")?;
        let (length, kind) = if self.tags { (name_end(value, true), ColumnKind::Tag) } else { field(value)? };
        let end = key.len() + 1 + length;
        self.rest = &text[end..];
        Some(Column { key, kind, text: &text[..end] })
    }
}

impl Column<'_> {
    /// Returns whether the column has this name, which is given without escapes.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        unescaped(self.key, true) == name.as_bytes()
    }
}

/// Returns the line, with its line break, without the columns for which `remove` is true. Returns
/// `None` if no field would be left, or if the line was not written by this crate.
pub(crate) fn without(line: &[u8], mut remove: impl FnMut(&Column<'_>) -> bool) -> Option<Vec<u8>> {
    let mut columns = Columns::of(line);
    let mut kept = Vec::with_capacity(line.len() + 1);
    kept.extend_from_slice(columns.measurement());
    let mut fields = 0;
    for column in columns.by_ref() {
        if remove(&column) {
            continue;
        }
        let separator = if column.kind != ColumnKind::Tag && fields == 0 { b' ' } else { b',' };
        fields += usize::from(column.kind != ColumnKind::Tag);
        kept.push(separator);
        kept.extend_from_slice(column.text);
    }
    let stamp = columns.rest().strip_prefix(b" ")?;
    kept.push(b' ');
    kept.extend_from_slice(stamp);
    kept.push(b'\n');
    (fields > 0 && stamp.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')).then_some(kept)
}

/// Returns the timestamp of a line.
pub(crate) fn timestamp(line: &[u8]) -> Option<i64> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    std::str::from_utf8(line.rsplit(|byte| *byte == b' ').next()?).ok()?.parse().ok()
}

/// Returns where a name or a tag's value ends: before an unescaped comma or space, or, except in a
/// measurement, an equals sign.
fn name_end(text: &[u8], equals: bool) -> usize {
    let ends = |byte: u8| matches!(byte, b',' | b' ') || byte == b'=' && equals;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if text.get(at + 1).is_some_and(|next| ends(*next)) => at += 2,
            _ if ends(byte) => break,
            _ => at += 1,
        }
    }
    at
}

/// Returns the length and type of a field's value.
fn field(value: &[u8]) -> Option<(usize, ColumnKind)> {
    if let Some(text) = value.strip_prefix(b"\"") {
        let mut at = 0;
        loop {
            match text.get(at)? {
                b'"' => return Some((at + 2, ColumnKind::String)),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }
    let end = value.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(value.len());
    let kind = match value[..end].last()? {
        b'i' | b'u' => ColumnKind::Integer,
        b'e' => ColumnKind::Boolean,
        _ => ColumnKind::Float,
    };
    Some((end, kind))
}

fn unescaped(key: &[u8], equals: bool) -> Cow<'_, [u8]> {
    if !key.contains(&b'\\') {
        return Cow::Borrowed(key);
    }
    let mut text = Vec::with_capacity(key.len());
    let mut bytes = key.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped =
            bytes.next_if(|next| byte == b'\\' && (matches!(next, b',' | b' ') || *next == b'=' && equals));
        text.push(escaped.unwrap_or(byte));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        br#"a\ b=c,t2=\z,t\,1=x\=y f2=-1.5e-7,f3=0i,f5=true,f6=7,f\ 1="q\"\\,= x",f7=false -5"#;

    #[test]
    fn every_column_is_visited_with_its_kind() {
        let columns = Columns::of(LINE);
        assert_eq!(columns.measurement(), br"a\ b=c");
        let read: Vec<_> =
            columns.map(|column| (String::from_utf8_lossy(column.key).into_owned(), column.kind)).collect();
        let expected = [
            ("t2", ColumnKind::Tag),
            (r"t\,1", ColumnKind::Tag),
            ("f2", ColumnKind::Float),
            ("f3", ColumnKind::Integer),
            ("f5", ColumnKind::Boolean),
            ("f6", ColumnKind::Float),
            (r"f\ 1", ColumnKind::String),
            ("f7", ColumnKind::Boolean),
        ];
        assert_eq!(read, expected.map(|(key, kind)| (key.to_owned(), kind)));
        assert!(Columns::of(LINE).any(|column| column.is_called("t,1")));
        assert_eq!(timestamp(LINE), Some(-5));
    }

    #[test]
    fn columns_are_removed_and_the_others_are_unchanged() {
        let without = |key: &str| without(LINE, |column| column.is_called(key)).expect("fields are left");
        assert_eq!(
            without("t,1"),
            [br#"a\ b=c,t2=\z f2=-1.5e-7,f3=0i,f5=true,f6=7,f\ 1="q\"\\,= x",f7=false -5"#, &b"\n"[..]]
                .concat()
        );
        assert_eq!(
            without("f2"),
            [br#"a\ b=c,t2=\z,t\,1=x\=y f3=0i,f5=true,f6=7,f\ 1="q\"\\,= x",f7=false -5"#, &b"\n"[..]]
                .concat()
        );
        assert_eq!(without("nothing"), [LINE, b"\n"].concat());
        assert_eq!(super::without(LINE, |column| column.kind != ColumnKind::Tag), None, "no field is left");
    }

    #[test]
    fn lines_that_this_crate_did_not_write_are_left_alone() {
        for line in
            ["", "\n", "m", "m v", "m v=", "m v=\"x", "m v=\"x\\", "m v=1", "m v=1 x", "m,t v=1 1", ",", " "]
        {
            Columns::of(line.as_bytes()).for_each(drop);
            assert_eq!(without(line.as_bytes(), |_| false), None, "{line:?}");
        }
    }
}
