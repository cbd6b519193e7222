//! Turns the crate's internals on, by cfgs rather than features: a feature of the crate itself
//! could be turned on by its users, and `--all-features` would.

fn main() {
    for (feature, cfg) in [("FUZZ", "tower_influx_internals"), ("LOOM", "tower_influx_loom")] {
        if std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some() {
            println!("cargo:rustc-cfg={cfg}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
}
