//! Tests of the whole: text in, settings or messages out.

use super::*;

fn parsed(text: &str) -> Settings {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match toml::from_str::<Settings>(text) {
        Ok(settings) => settings.check().expect_err("refused at the latest by the check").to_string(),
        Err(error) => error.message().to_owned(),
    }
}

#[test]
fn the_least_that_can_be_written() {
    assert_eq!(parsed("service = 'shop'"), Settings::new("shop"));
    parsed("service = 'shop'").check().expect("the defaults are good");
    parsed("service = 'shop'\nurl = 'http://localhost:8086'\nbucket = 'b'")
        .check()
        .expect("a server is good");
}

#[test]
fn messages_name_key_value_and_remedy() {
    assert_eq!(
        refused("service = 'shop'\nflsh_interval = 1"),
        "setting `flsh_interval`: there is no such key; the nearest is `flush_interval`"
    );
    assert_eq!(
        refused("service = 'shop'\nurl = 'localhost:8086'\nbucket = 'b'"),
        "setting `url` is `localhost:8086`: no scheme; write `http://localhost:8086`"
    );
}
