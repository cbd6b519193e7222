//! The pages of the folder `docs/`: for operators of a service, for authors of queries, and for
//! users of other crates. This module exists only in the documentation, not in the compiled crate.
//!
//! The settings are documented at [`Settings`](crate::Settings), and the licence check in
//! [`licensing`](crate::licensing).
//
// The files of `docs/` link to each other as files. `links.md` comes first in every page, and of
// two definitions of a link the first one counts, so that the same pages link to each other here.

macro_rules! pages {
    ($($name:ident = $file:literal,)*) => {$(
        #[cfg_attr(feature = "live", doc = include_str!("with_live.md"))]
        #[cfg_attr(not(feature = "live"), doc = include_str!("without_live.md"))]
        #[doc = include_str!("links.md")]
        #[doc = include_str!(concat!("../../docs/", $file))]
        pub mod $name {}
    )*};
}

pages! {
    client = "client.md",
    comparison = "comparison.md",
    delivery = "delivery.md",
    design = "DESIGN.md",
    http_client = "http-client.md",
    migrating = "migrating.md",
    operations = "operations.md",
    performance = "performance.md",
    prometheus = "prometheus.md",
    recipes = "recipes.md",
    requests = "requests.md",
    rollups = "rollups.md",
    schema = "schema.md",
    targets = "targets.md",
}

#[doc = include_str!("live.png.md")]
#[cfg_attr(feature = "live", doc = include_str!("with_live.md"))]
#[cfg_attr(not(feature = "live"), doc = include_str!("without_live.md"))]
#[doc = include_str!("links.md")]
#[doc = include_str!("../../README.md")]
pub mod readme {}
