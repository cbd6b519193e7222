//! Checks of token, user and password: that they are complete, and can be sent in a header. None is
//! ever printed.

use std::{fs::File, io::Read, path::Path};

use http::HeaderValue;
use zeroize::Zeroizing;

use super::super::{InfluxApi, InfluxAuthorization, InfluxClient, InfluxSettings};
use crate::{error::Error, settings::Token};

impl InfluxSettings {
    /// Reads the current token: `token`, or the current content of `token_file` without surrounding
    /// white space. It is empty if neither is set. It is called at start, and again when the server
    /// refuses the token, since secrets are rotated by replacing the file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or is empty, or if a header cannot contain the token.
    pub(crate) fn current_token(&self) -> Result<Token, Error> {
        let Some(path) = &self.token_file else {
            let token = without_mark(self.token.expose());
            let token = if token == self.token.expose() { self.token.clone() } else { Token::new(token) };
            return self.validate_token("token", &token).map(|()| token);
        };
        let token = read_token(path).map_err(|error| {
            let what = format!(
                "setting `token_file` is `{}`, but must be a readable file that holds the token",
                path.display()
            );
            Error::io(what, error)
        })?;
        if token.is_empty() {
            return Err(Error::setting(
                "token_file",
                path.display(),
                "the file is empty; write the token into it",
            ));
        }
        self.validate_token("token_file", &token)?;
        Ok(token)
    }

    pub(super) fn validate_credentials(&self) -> Result<(), Error> {
        if self.token_file.is_some() && !self.token.is_empty() {
            let remedy = "cannot be combined with `token`; leave one of them out";
            return Err(Error::setting_without_value("token_file", remedy));
        }
        // A pipe returns its content only once: it is read when the client is created.
        let is_pipe = self.token_file.as_ref().is_some_and(|path| is_pipe(path));
        let token = is_pipe || !self.current_token()?.is_empty();
        self.validate_user(token)
    }

    fn validate_token(&self, name: &str, token: &Token) -> Result<(), Error> {
        let refuse = |remedy: &str| Err(Error::setting_without_value(name, remedy));
        let text = token.expose();
        if text.trim() != text {
            return refuse("begins or ends with white space; remove it");
        }
        // `HeaderValue` accepts bytes beyond ASCII. The server would then only report a wrong
        // token.
        if !text.is_ascii() || HeaderValue::from_str(text).is_err() {
            return refuse(
                "holds a line break or a character that is not ASCII, which HTTP headers do not allow; copy it again",
            );
        }
        let scheme = text.split_once(' ').map(|(scheme, _)| scheme.to_ascii_lowercase());
        if matches!(scheme.as_deref(), Some("token" | "bearer" | "basic")) {
            return refuse(
                "begins with a scheme such as `Token`; write the token alone, the client adds the scheme",
            );
        }
        Ok(())
    }

    fn validate_user(&self, token: bool) -> Result<(), Error> {
        let refuse = |name: &str, remedy: &str| Err(Error::setting_without_value(name, remedy));
        let basic = self.authorization == InfluxAuthorization::Basic;
        if self.username.is_empty() {
            if !self.password.is_empty() {
                return refuse("password", "given without `username`; give both, or a `token`");
            }
            if basic {
                return refuse(
                    "username",
                    "missing; `authorization = \"basic\"` needs `username` and `password`",
                );
            }
            return Ok(());
        }
        if self.client == InfluxClient::Influxdb2 || (self.api != InfluxApi::V1 && !basic) {
            let remedy = "used by `client = \"reqwest\"` only, with `api = \"v1\"` or `authorization = \"basic\"`; set these, or \
                          give a `token` instead";
            return refuse("username", remedy);
        }
        if token {
            return refuse(
                "username",
                "cannot be combined with `token` or `token_file`; leave one of them out",
            );
        }
        if self.username.contains(|letter: char| letter == ':' || letter.is_control()) {
            return refuse(
                "username",
                "contains a colon or a control character, which a user name cannot have; copy it again",
            );
        }
        Ok(())
    }
}

/// Reads at most the maximum length of a token, so that an endless file does not fill the memory.
fn read_token(path: &Path) -> std::io::Result<Token> {
    let mut content = Zeroizing::new(String::with_capacity(1024));
    File::open(path)?.take(MAX_TOKEN_FILE).read_to_string(&mut content)?;
    Ok(Token::new(without_mark(&content).trim()))
}

/// Returns the text without the byte order mark that some editors write.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Returns whether the path leads to something that can be read only once.
pub(super) fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

const MAX_TOKEN_FILE: u64 = 64 * 1024;
