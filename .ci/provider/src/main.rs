//! Turning on a feature of `tower-influx` must not change what rustls of the rest of the program
//! gets.

use tower_influx::{
    Monitor, Settings,
    settings::{InfluxClient, Storage},
};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let start = |url: &str| {
        let mut settings = Settings::new("provider");
        settings.storage = Storage::Influx;
        (settings.influx.url, settings.influx.bucket) = (url.to_owned(), "b".to_owned());
        settings.influx.client = InfluxClient::Reqwest;
        Monitor::start(settings).map(drop).map_err(|error| error.to_string())
    };
    let before = start("https://localhost:1").expect_err("nothing is installed yet");
    assert!(before.contains("tls-ring"), "{before}");

    // Panics if two providers are compiled in and none is installed.
    let builder = rustls::ServerConfig::builder();
    let provider = format!("{:?}", builder.crypto_provider());
    assert!(provider.contains("aws_lc_rs") || provider.contains("AwsLc"), "{provider}");

    start("http://localhost:1").expect("needs no TLS");
    let after = start("https://localhost:1");
    if cfg!(feature = "tls") {
        after.expect("the provider of the process is used");
    } else {
        after.expect_err("no TLS without the feature");
    }
}
