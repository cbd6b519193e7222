//! The tags and fields that handlers add to the points of their own request.

use crate::{
    line_protocol::{
        Changes, EXTRAS_BYTES,
        cursor::{Entry, NO_PLAIN_KEY},
        entries::{Entries, EntryLimits},
        plain_keys::PlainKeys,
    },
    point::{TraceId, Value, schema, schema::REQUESTS},
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::Limits,
};

/// Extra tags and fields of one request, encoded as they are added. Its memory is reused, so it
/// allocates nothing once it is warm.
///
/// These are refused and counted: names of the standard tags and fields, names reserved by
/// InfluxDB, empty names, empty tags, and numbers that are NaN or infinite. The last value of a key
/// wins, but a refused one leaves the earlier one in place. If a name is used for a tag and a
/// field, the tag is kept.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(super) entries: Entries,
    plain_keys: PlainKeys,
}

impl Extras {
    /// Sets a tag if nothing of it needs escaping, as usual. Returns false for others.
    #[inline(always)]
    pub(crate) fn plain_tag(&mut self, key: &'static str, value: &Value<'_>, limits: &Limits) -> bool {
        let Value::String(text) = value else { return false };
        let Some((_, key)) = self.plain_keys.of_tag(key) else { return false };
        self.entries.plain_tag(key, text, room(limits))
    }

    /// Sets a field if nothing of it needs escaping, as usual. Returns false for others.
    #[inline(always)]
    pub(crate) fn plain_field(&mut self, key: &'static str, value: &Value<'_>, limits: &Limits) -> bool {
        let Some(key) = self.plain_keys.of_field(key) else { return false };
        self.entries.plain_field(key, value, room(limits))
    }

    /// Sets a tag. A number or boolean becomes its text.
    #[inline]
    pub(crate) fn tag(&mut self, key: &'static str, value: Value<'_>, limits: &Limits) -> Changes {
        let mut changes = Changes::default();
        self.entries.tag(key, &value, room(limits), &mut changes);
        changes
    }

    /// Sets a field.
    #[inline]
    pub(crate) fn field(&mut self, key: &'static str, value: Value<'_>, limits: &Limits) -> Changes {
        let mut changes = Changes::default();
        self.entries.field(key, &value, room(limits), &mut changes);
        changes
    }

    /// Adds a number to a field.
    pub(crate) fn add(&mut self, key: &'static str, value: Value<'_>, limits: &Limits) -> Changes {
        match self.entries.sum(key, value) {
            Some(sum) => self.field(key, sum, limits),
            None => Changes { refused: 1, ..Changes::default() },
        }
    }

    /// Returns the field `trace_id` if it is the id of a trace.
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        let [b'"', digits @ .., b'"'] = self.entries.field_value(schema::TRACE_ID.as_bytes())? else {
            return None;
        };
        let digits: &TraceId = digits.try_into().ok()?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(*digits)
    }

    /// Adds the tags and fields of another container, as if they were set now.
    pub(crate) fn merge(&mut self, other: &Self, limits: &Limits) -> Changes {
        let mut changes = Changes::default();
        self.entries.merge(&other.entries, room(limits), &mut changes);
        changes
    }

    /// Adapts the extras of a request to the types and values of all earlier points.
    pub(super) fn settle(&mut self, types: &FieldTypes, values: &TagCardinality, changes: &mut Changes) {
        let Self { entries, plain_keys } = self;
        entries.settle_tags(REQUESTS.as_bytes(), types, values, changes);
        let has_admitted = |field: &Entry| plain_keys.has_admitted(field.plain_key, field.field_type, types);
        if entries.fields.iter().all(has_admitted) {
            return;
        }
        entries.settle_fields(REQUESTS.as_bytes(), types, changes);
        for field in &entries.fields {
            plain_keys.note_admitted(field.plain_key, field.field_type, types);
        }
    }

    /// Returns whether there are no extras.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes all entries but keeps their memory, up to 16 KiB.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

impl Clone for Extras {
    /// Copies the extras for one point, without the cached keys.
    fn clone(&self) -> Self {
        let mut entries = self.entries.clone();
        entries.fields.iter_mut().for_each(|field| field.plain_key = NO_PLAIN_KEY);
        Self { entries, plain_keys: PlainKeys::default() }
    }
}

fn room(limits: &Limits) -> EntryLimits<'_> {
    EntryLimits { limits, count: limits.extras, bytes: EXTRAS_BYTES, reserved: schema::is_reserved }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line_protocol::plain_keys::PLAIN_KEYS;

    const OK: Changes =
        Changes { sanitized: 0, truncated: 0, refused: 0, excess: 0, conflicts: 0, overflowed: 0 };
    const REFUSED: Changes = Changes { refused: 1, ..OK };
    const EXCESS: Changes = Changes { excess: 1, ..OK };

    /// Returns tags, a space and fields, as in a line.
    fn text(extras: &Extras) -> String {
        let joined = |entries: Vec<&[u8]>| String::from_utf8(entries.join(&b',')).expect("UTF-8");
        joined(extras.entries.tags().collect()) + " " + &joined(extras.entries.fields().collect())
    }

    #[test]
    fn every_type_of_value_as_tag_and_as_field() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        let values: [(&str, Value<'_>); 6] = [
            ("text", "a b".into()),
            ("float", 0.5.into()),
            ("integer", (-3).into()),
            ("unsigned", 7_u64.into()),
            ("truth", true.into()),
            ("empty", "".into()),
        ];
        for (key, value) in values.clone() {
            assert_eq!(extras.tag(key, value, &limits), if key == "empty" { REFUSED } else { OK });
        }
        let mut fields = Extras::default();
        for (key, value) in values {
            assert_eq!(fields.field(key, value, &limits), OK);
        }
        assert_eq!(text(&extras), r"float=0.5,integer=-3,text=a\ b,truth=true,unsigned=7 ");
        assert_eq!(text(&fields), r#" empty="",float=0.5,integer=-3i,text="a b",truth=true,unsigned=7i"#);
    }

    #[test]
    fn numbers_that_integers_of_the_database_cannot_hold_saturate() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        assert_eq!(extras.field("a", u64::MAX.into(), &limits), Changes { sanitized: 1, ..OK });
        assert_eq!(extras.tag("b", u64::MAX.into(), &limits), OK);
        assert_eq!(text(&extras), "b=18446744073709551615 a=9223372036854775807i");
    }

    #[test]
    fn reserved_names_and_numbers_that_are_not_finite_are_refused() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        for key in
            ["", "time", "_field", "_measurement", "__chunk_order", "route", "execution_time", "body_end"]
        {
            assert_eq!(extras.tag(key, 1.into(), &limits), REFUSED, "{key}");
            assert_eq!(extras.field(key, 1.into(), &limits), REFUSED, "{key}");
        }
        // A name that becomes a reserved one is refused, too.
        assert_eq!(extras.field("error\ncode", 1.into(), &limits), REFUSED);
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(extras.tag("a", number.into(), &limits), REFUSED);
            assert_eq!(extras.field("a", number.into(), &limits), REFUSED);
        }
        assert!(extras.is_empty());
    }

    #[test]
    fn the_last_value_wins_unless_it_is_refused() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        for value in ["first", "a much longer second one", "3"] {
            extras.tag("b", value.into(), &limits);
            extras.field("c", value.into(), &limits);
            extras.tag("a", value.into(), &limits);
            assert_eq!(
                text(&extras),
                format!("a={},b={} c=\"{value}\"", value.replace(' ', "\\ "), value.replace(' ', "\\ "))
            );
        }
        extras.field("c", 5.into(), &limits);
        extras.field("c", f64::NAN.into(), &limits);
        extras.tag("a", "".into(), &limits);
        assert_eq!(text(&extras), "a=3,b=3 c=5i");
    }

    #[test]
    fn a_tag_wins_over_a_field_of_its_name() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        extras.field("a", 1.into(), &limits);
        extras.field("b", 2.into(), &limits);
        assert_eq!(extras.tag("a", "x".into(), &limits), REFUSED);
        assert_eq!(extras.field("a", 3.into(), &limits), REFUSED);
        assert_eq!(text(&extras), "a=x b=2i");
    }

    #[test]
    fn setting_one_key_many_times_takes_no_more_memory_than_once() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        let longest = "x".repeat(5_000);
        extras.tag("before", "1".into(), &limits);
        for round in 0..20_000 {
            extras.field("a", longest[..round % 5_000].into(), &limits);
            extras.tag("after", round.into(), &limits);
        }
        assert!(format!("{extras:?}").len() < 100_000, "the arena has grown");
        assert_eq!(text(&extras), format!("after=19999,before=1 a=\"{}\"", &longest[..4_999]));
    }

    #[test]
    fn beyond_the_number_of_extras_new_names_are_left_out() {
        let (mut extras, limits) = (Extras::default(), Limits { extras: 2, ..Limits::default() });
        assert_eq!(extras.tag("a", 1.into(), &limits), OK);
        assert_eq!(extras.field("b", 1.into(), &limits), OK);
        assert_eq!(extras.tag("c", 1.into(), &limits), EXCESS);
        assert_eq!(extras.field("d", 1.into(), &limits), EXCESS);
        assert_eq!(extras.field("b", 2.into(), &limits), OK);
        assert_eq!(extras.tag("b", 3.into(), &limits), REFUSED);
        assert_eq!(text(&extras), "a=1,b=3 ");
    }

    #[test]
    fn values_are_cut_and_the_line_has_room_for_the_longest() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        let huge = "\"".repeat(70_000);
        let unbounded = Limits { tag_bytes: usize::MAX, field_bytes: usize::MAX, ..limits };
        assert_eq!(extras.field("a", huge.as_str().into(), &unbounded), Changes { truncated: 1, ..OK });
        assert_eq!(text(&extras).len(), " a=\"\"".len() + 2 * 20 * 1024);
        assert_eq!(extras.field("b", huge.as_str().into(), &limits), EXCESS);
        assert_eq!(extras.field("a", huge.as_str().into(), &limits), Changes { truncated: 1, ..OK });
        assert_eq!(extras.tag("b", huge.as_str().into(), &limits), Changes { truncated: 1, ..OK });
        assert_eq!(text(&extras).len(), "b= a=\"\"".len() + 1024 + 2 * 16 * 1024);
    }

    #[test]
    fn merging_is_setting_again() {
        let (mut extras, mut other, limits) = (Extras::default(), Extras::default(), Limits::default());
        extras.tag("a", "1".into(), &limits);
        extras.field("b", 1.into(), &limits);
        extras.tag("c", "1".into(), &limits);
        other.tag("a", "2".into(), &limits);
        other.tag("b", "2".into(), &limits);
        other.field("c", 2.into(), &limits);
        other.field("d", 2.into(), &limits);
        assert_eq!(extras.merge(&other, &limits), Changes { refused: 2, ..OK });
        assert_eq!(text(&extras), "a=2,b=2,c=1 d=2i");
        let few = Limits { extras: 4, ..limits };
        other.field("e", 2.into(), &limits);
        assert_eq!(extras.merge(&other, &few), Changes { refused: 1, excess: 1, ..OK });
    }

    #[test]
    fn clearing_keeps_little_memory() {
        let (mut extras, limits) = (Extras::default(), Limits::default());
        for key in ["a", "b", "c"] {
            extras.field(key, "x".repeat(14_000).into(), &limits);
        }
        extras.clear();
        assert!(extras.is_empty() && text(&extras) == " ");
        assert!((1..=16 * 1024).contains(&extras.entries.capacity()), "{}", extras.entries.capacity());
    }

    #[test]
    fn usual_tags_with_adjacent_keys_are_distinguished() {
        let (mut extras, limits) = (Extras::default(), Limits { extras: 100, ..Limits::default() });
        let keys: &'static str = "abcdefghijklmnopqrstuvwxyz";
        let expected: Vec<String> = keys.chars().map(|key| format!("{key}={key}{key}")).collect();
        for round in 0..3 {
            extras.clear();
            let mut usual = 0;
            for at in 0..keys.len() {
                let (key, value) = (&keys[at..=at], keys[at..=at].repeat(2));
                let value = Value::from(value);
                if extras.plain_tag(key, &value, &limits) {
                    usual += 1;
                } else {
                    assert_eq!(extras.tag(key, value, &limits), OK);
                }
            }
            assert_eq!(usual, PLAIN_KEYS, "round {round}: the first ones have a place");
            assert_eq!(text(&extras), expected.join(",") + " ");
        }
    }

    #[test]
    fn usual_tags_respect_the_bound_on_bytes_of_a_request() {
        let (mut extras, limits) = (Extras::default(), Limits { tag_bytes: usize::MAX, ..Limits::default() });
        let long = Value::from("x".repeat(15_000));
        for (key, fits) in [("a", true), ("b", true), ("c", true), ("d", false)] {
            assert_eq!(extras.plain_tag(key, &long, &limits), fits, "{key}");
        }
        assert_eq!(extras.tag("d", long, &limits), EXCESS);
        assert!(extras.plain_tag("d", &"short".into(), &limits));
    }
}
