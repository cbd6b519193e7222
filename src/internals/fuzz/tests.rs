//! Runs every committed seed through its target, so that earlier findings stay fixed.

use std::{fs, path::Path};

use super::{own_points, parser, request_lines, settings, spool};

type FuzzTarget = fn(&[u8]);

#[test]
fn every_seed_passes_its_target() {
    let targets: [(&str, FuzzTarget); 5] = [
        ("own_points", own_points),
        ("parser", parser),
        ("request_lines", request_lines),
        ("settings", settings),
        ("spool", spool),
    ];
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    if !seeds.exists() {
        // The published package has no seeds.
        println!("left out: no {}", seeds.display());
        return;
    }
    for (name, target) in targets {
        let files = fs::read_dir(seeds.join(name)).unwrap_or_else(|error| panic!("seeds of {name}: {error}"));
        let mut count = 0;
        for file in files {
            let path = file.expect("reads").path();
            // Shown only if the seed fails.
            println!("{}", path.display());
            target(&fs::read(path).expect("reads"));
            count += 1;
        }
        assert!(count > 3, "{name}: hardly any seeds");
    }
}
