//! The `Authorization` header, and the secrets that must not appear in a message.

use super::WriteError;
use crate::settings::{InfluxAuthorization, InfluxSettings, Token};

/// Returns the value of the header, or none without credentials. The whole value is secret.
pub(super) fn header(settings: &InfluxSettings, token: &Token) -> Option<Token> {
    if !settings.username.is_empty() {
        let pair = format!("{}:{}", settings.username, settings.password.expose());
        return Some(Token::new(format!("Basic {}", base64(pair.as_bytes()))));
    }
    if token.is_empty() {
        return None;
    }
    let scheme = if settings.authorization == InfluxAuthorization::Bearer { "Bearer" } else { "Token" };
    Some(Token::new(format!("{scheme} {}", token.expose())))
}

/// The secrets that are sent to the server. The server or a proxy may return them in an error, and
/// they must not be printed then.
pub(super) struct Secrets(Vec<Token>);

impl Secrets {
    pub(super) fn new(settings: &InfluxSettings, token: &Token, header: Option<&Token>) -> Self {
        let credentials =
            header.and_then(|header| header.expose().split_once(' ')).map(|(_, rest)| Token::new(rest));
        let all = [token.clone(), settings.password.clone()].into_iter().chain(credentials);
        let all = all.chain(settings.headers.values().cloned());
        let mut secrets = Self(Vec::new());
        secrets.extend(all);
        secrets
    }

    pub(super) fn extend(&mut self, secrets: impl IntoIterator<Item = Token>) {
        // A shorter one could not be distinguished from the server's own words.
        self.0.extend(secrets.into_iter().filter(|secret| secret.expose().len() >= SHORTEST));
        // The longest is replaced first: otherwise a secret that begins with a shorter one would
        // keep its rest.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    /// Replaces all secrets in a text.
    pub(super) fn conceal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), "[redacted]");
            }
        }
        text
    }

    pub(super) fn conceal_in(&self, error: WriteError) -> WriteError {
        let message = self.conceal(error.message());
        error.with_message(message)
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SHORTEST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("\u{ff}\u{fe}\u{fd}?", "w7/DvsO9Pw=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_header_follows_the_settings() {
        let token = Token::new("secret");
        fn expose(settings: &InfluxSettings, token: &Token) -> Option<String> {
            header(settings, token).map(|header| header.expose().to_owned())
        }
        let mut settings = InfluxSettings::default();
        assert_eq!(expose(&settings, &Token::default()), None);
        assert_eq!(expose(&settings, &token).as_deref(), Some("Token secret"));
        settings.authorization = InfluxAuthorization::Bearer;
        assert_eq!(expose(&settings, &token).as_deref(), Some("Bearer secret"));
        settings.username = "Aladdin".to_owned();
        settings.password = Token::new("open sesame");
        assert_eq!(
            expose(&settings, &Token::default()).as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
    }

    #[test]
    fn secrets_in_an_answer_are_redacted() {
        let mut settings = InfluxSettings { username: "Aladdin".to_owned(), ..InfluxSettings::default() };
        settings.password = Token::new("open sesame");
        settings.headers.insert("x-key".to_owned(), Token::new("open sesame please"));
        settings.headers.insert("x-short".to_owned(), Token::new("e"));
        let secrets =
            Secrets::new(&settings, &Token::default(), header(&settings, &Token::default()).as_ref());
        let text =
            secrets.conceal("got open sesame please, Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== and open sesame");
        assert_eq!(text, "got [redacted], Basic [redacted] and [redacted]");
    }

    #[test]
    fn the_cost_of_an_answer_with_secrets_is_linear_in_its_length() {
        let mut settings = InfluxSettings { username: "aaaa".to_owned(), ..InfluxSettings::default() };
        settings.password = Token::new("aaab");
        settings.headers.insert("x-key".to_owned(), Token::new("\"\"\"\"\"\""));
        let secrets = Secrets::new(&settings, &Token::new("0.0.0.0."), None);
        let pieces = ["aaaa", "aaab", "0.0.0.0.", "[redacted]"];
        crate::work::assert_linear(&pieces, |answer| drop(secrets.conceal(answer)));
    }
}
