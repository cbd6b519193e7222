//! Every committed seed through its target: what a fuzzer has found once stays found, without a fuzzer.

use std::{fs, path::Path};

use tower_influx_fuzz::{own_points, parser, request_lines, settings, spool};

#[test]
fn no_seed_breaks_a_promise() {
    let targets: [(&str, fn(&[u8])); 5] = [
        ("own_points", own_points),
        ("parser", parser),
        ("request_lines", request_lines),
        ("settings", settings),
        ("spool", spool),
    ];
    for (name, target) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.expect("reads").path();
            // Shown only where the seed fails.
            println!("{}", path.display());
            target(&fs::read(path).expect("reads"));
            count += 1;
        }
        assert!(count > 3, "{}: hardly any seeds", folder.display());
    }
}
