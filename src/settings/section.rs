//! One table of the configuration, read key by key, with aliases. Duplicate and unknown keys are
//! refused.

use super::{node::Node, suggestion::suggestion};
use crate::error::Error;

/// The names of one key: its own name first, then its aliases.
pub(super) type Names = &'static [&'static str];

/// A table. The entries that are left after each known key was read are unknown.
pub(super) struct Section {
    /// The prefix of a key in messages: empty, or for instance `spool.`.
    prefix: String,
    entries: Vec<(String, Node)>,
    known: Vec<Names>,
}

/// A key as written in the configuration, with its value.
pub(super) struct Given {
    pub(super) name: String,
    pub(super) node: Node,
}

impl Section {
    /// Creates a section from its entries.
    pub(super) fn new(entries: Vec<(String, Node)>) -> Self {
        Self { prefix: String::new(), entries, known: Vec::new() }
    }

    /// Reads the value of a key into `slot`. Returns whether the key was present. Without the key,
    /// `slot` keeps its default.
    pub(super) fn read<T>(
        &mut self,
        names: Names,
        value: impl FnOnce(Given) -> Result<T, Error>,
        slot: &mut T,
    ) -> Result<bool, Error> {
        let given = self.take(names)?;
        let found = given.is_some();
        if let Some(given) = given {
            *slot = value(given)?;
        }
        Ok(found)
    }

    /// Reads a key without a default in the same way.
    pub(super) fn read_optional<T>(
        &mut self,
        names: Names,
        value: impl FnOnce(Given) -> Result<T, Error>,
        slot: &mut Option<T>,
    ) -> Result<bool, Error> {
        self.read(names, |given| value(given).map(Some), slot)
    }

    /// Reads a nested table, if it is present, and refuses its unknown keys.
    pub(super) fn table<T>(
        &mut self,
        names: Names,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let Some(given) = self.take(names)? else { return Ok(None) };
        let prefix = format!("{}.", given.name);
        let mut table = Self { prefix, entries: given.entries()?, known: Vec::new() };
        let value = read(&mut table)?;
        table.finish()?;
        Ok(Some(value))
    }

    /// Takes the key under any of its names, in any case. Two of them are refused, since which one
    /// counts would be arbitrary.
    pub(super) fn take(&mut self, names: Names) -> Result<Option<Given>, Error> {
        self.known.push(names);
        let mut given: Option<Given> = None;
        while let Some(position) = self.entries.iter().position(|(key, _)| is_one_of(key, names)) {
            let (key, node) = self.entries.remove(position);
            let name = format!("{}{key}", self.prefix);
            if let Some(first) = &given {
                let remedy = if first.name == name {
                    "given twice; leave one of them out".to_owned()
                } else {
                    format!("the same key as `{}`, which is given too; leave one of them out", first.name)
                };
                return Err(Error::setting_without_value(&name, remedy));
            }
            given = Some(Given { name, node });
        }
        Ok(given.filter(|given| !matches!(given.node, Node::Null)))
    }

    /// Ends the table. An unknown key is a spelling mistake, which would otherwise go unnoticed
    /// until the setting is needed. Its value is not printed: `tokn` holds a token.
    pub(super) fn finish(&self) -> Result<(), Error> {
        let Some((key, _)) = self.entries.first() else { return Ok(()) };
        let name = format!("{}{key}", self.prefix);
        let lower = key.to_ascii_lowercase();
        if self.prefix.is_empty() && IS_FLAT.contains(&lower.as_str()) {
            let remedy = "there is no such table; write its keys directly into the section";
            return Err(Error::setting_without_value(&name, remedy));
        }
        let near = suggestion(&lower, self.known.iter().copied().flatten().copied()).unwrap_or_default();
        let remedy = format!("there is no such key; the nearest is `{}{near}`", self.prefix);
        Err(Error::setting_without_value(&name, remedy))
    }

    /// Returns the names of each key that was read.
    #[cfg(test)]
    pub(super) fn known(&self) -> &[Names] {
        &self.known
    }
}

impl Given {
    /// Returns the keys and values of a table.
    pub(super) fn entries(self) -> Result<Vec<(String, Node)>, Error> {
        match self.node {
            Node::Table(entries) => Ok(entries),
            other => {
                let remedy = format!("found {}; write a table of keys and values", other.kind());
                Err(Error::setting_without_value(&self.name, remedy))
            }
        }
    }
}

fn is_one_of(key: &str, names: Names) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(key))
}

/// Fields of `Settings` that are structs in code, but not tables in a file.
const IS_FLAT: [&str; 3] = ["influx", "influxdb", "file"];
