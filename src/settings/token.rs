//! Text that must never appear in a log, an error, a `Debug` output or on the live page.

use std::fmt;

use zeroize::Zeroizing;

/// A secret: a token, a password or the value of a header. `Debug` and `Display` print
/// `[redacted]`, or `[none]` for an empty one. The memory of each clone is overwritten when the
/// clone is dropped.
///
/// `Token` does not implement `Serialize`, so that a secret is not written out by accident.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Wraps a secret. Copies that the caller has made before are not overwritten.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// Returns whether the secret is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the secret itself, only to be sent to a server.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for Token {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whether there is a token is not secret, and is what matters when a server refuses it.
        formatter.write_str(if self.is_empty() { "[none]" } else { "[redacted]" })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_never_printed() {
        let token = Token::new("hunter2");
        assert_eq!(format!("{token:?} {token}"), "[redacted] [redacted]");
        assert_eq!(format!("{token:#?} {token:>20}"), "[redacted] [redacted]");
        assert_eq!(token.expose(), "hunter2");
        assert_eq!(format!("{:?} {}", Token::default(), Token::new("")), "[none] [none]");
    }
}
