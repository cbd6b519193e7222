//! Instructions a request costs, counted by valgrind: the same on a busy machine as on a quiet one.
//!
//! `cargo run --release --bin instructions` prints the table; with `--check` it compares with `instructions.txt` beside the
//! manifest and fails where a row has become dearer by more than 5 %; with `--write` it renews that file.

use std::{collections::BTreeMap, env, fs};

use tower_influx_benches::{Variant, books, measure::callgrind, monitor, request, variants};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [variant, count] = &arguments[..] {
        return child(variant.parse().expect("a number"), count.parse().expect("a number"));
    }
    let counted = count_all();
    println!("| what is layered on a bare router | instructions | added to bare |\n|---|--:|--:|");
    for (name, instructions) in &counted {
        println!("| {name} | {instructions} | {} |", instructions - counted[0].1);
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
    let added = |rows: &[(&str, i64)]| -> BTreeMap<String, i64> {
        let ours = rows.iter().filter(|(name, _)| name.starts_with("tower-influx"));
        ours.map(|(name, instructions)| ((*name).to_owned(), instructions - rows[0].1)).collect()
    };
    match arguments.first().map(String::as_str) {
        Some("--write") => {
            let lines: Vec<String> =
                added(&counted).iter().map(|(name, count)| format!("{name}: {count}\n")).collect();
            fs::write(file, lines.concat()).expect("the baseline can be written");
        }
        Some("--check") => check(&fs::read_to_string(file).expect("the baseline is there"), &added(&counted)),
        _ => {}
    }
}

fn check(baseline: &str, added: &BTreeMap<String, i64>) {
    let mut failed = false;
    for line in baseline.lines() {
        let (name, before) = line.rsplit_once(": ").expect("a name and a number");
        let before: i64 = before.parse().expect("a number");
        let now = *added.get(name).unwrap_or_else(|| panic!("no row {name}; renew the baseline by --write"));
        if (now - before) * 20 > before {
            eprintln!(
                "{name}: {now} instructions above bare, {before} in the baseline: more than 5 % dearer"
            );
            failed = true;
        }
    }
    assert!(
        !failed,
        "requests have become dearer; make them cheaper, or renew the baseline by --write and say why"
    );
    println!("\nwithin 5 % of the baseline");
}

fn count_all() -> Vec<(&'static str, i64)> {
    let names = with_variants(|variants| variants.iter().map(|variant| variant.name).collect::<Vec<_>>());
    let count = |(number, name): (usize, _)| {
        (name, callgrind(&[number.to_string(), COUNT.to_string()]) / i64::from(COUNT))
    };
    names.into_iter().enumerate().map(count).collect()
}

fn child(variant: usize, count: u32) {
    with_variants(|variants| {
        // Caches, pools and tables of the variant fill before the counting.
        for _ in 0..WARM_UP {
            request(&variants[variant].app, variants[variant].path);
        }
        counted(&variants[variant], count);
    });
}

#[inline(never)]
fn counted(variant: &Variant, count: u32) {
    for _ in 0..count {
        request(&variant.app, variant.path);
    }
}

fn with_variants<R>(run: impl FnOnce(&[Variant]) -> R) -> R {
    // Nothing but the requests: a runtime that is only polled at the end, so that the flusher takes no part.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (ours, disabled) = (monitor(&runtime), tower_influx::Monitor::disabled());
    #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
    let mut variants = variants(&ours, &disabled);
    #[cfg(feature = "peers")]
    variants.extend(tower_influx_benches::peers::Peers::new(&runtime).variants());
    let result = run(&variants);
    books::close(&runtime, &ours, None);
    result
}

/// More than a tag may have values by default.
const WARM_UP: u32 = 1_500;
const COUNT: u32 = 1_000;
