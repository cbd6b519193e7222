//! Instructions a request costs, counted by valgrind: the same on a busy machine as on a quiet one.
//!
//! `cargo run --release --bin instructions` prints the table; with `--check` it compares with
//! `instructions.txt` beside the manifest and fails where a row has become dearer by more than 5 %;
//! with `--write` it renews that file. Another compiler makes other code, so the file names its
//! own: `--check` under any other only tells the difference, and exits with status 3.

use std::{
    collections::BTreeMap,
    env, fs, iter,
    process::{self, Command},
};

use tower_influx_benches::{Monitors, Variant, measure::callgrind, variants};

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
            let lines = added(&counted).into_iter().map(|(name, count)| format!("{name}: {count}\n"));
            let lines: String = iter::once(format!("{COMPILER}{}\n", compiler())).chain(lines).collect();
            fs::write(file, lines).expect("the baseline can be written");
        }
        Some("--check") => check(&fs::read_to_string(file).expect("the baseline is there"), &added(&counted)),
        _ => {}
    }
}

fn check(baseline: &str, added: &BTreeMap<String, i64>) {
    let (first, rows) = baseline.split_once('\n').expect("a first line");
    let (before, now) = (first.strip_prefix(COMPILER).expect("the compiler of the baseline"), compiler());
    let (mut dearer, mut cheaper) = (false, false);
    println!();
    for line in rows.lines() {
        let (name, before) = line.rsplit_once(": ").expect("a name and a number");
        let before: i64 = before.parse().expect("a number");
        let now = *added.get(name).unwrap_or_else(|| panic!("no row {name}; renew the baseline by --write"));
        dearer |= (now - before) * 20 > before;
        cheaper |= (before - now) * 20 > before;
        let per_cent = 100.0 * (now - before) as f64 / before as f64;
        println!("{name}: {now} instructions above bare, {before} in the baseline, {per_cent:+.1} %");
    }
    if before != now {
        println!(
            "\nthe baseline is of {before}, this is {now}: nothing follows from the difference; renew it by --write"
        );
        process::exit(3);
    }
    if cheaper {
        println!(
            "\nmore than 5 % cheaper: renew the baseline by --write, or the gain can be lost again unseen"
        );
    }
    assert!(
        !dearer,
        "more than 5 % dearer: make requests cheaper, or renew the baseline by --write and say why"
    );
    println!("\nnothing is more than 5 % dearer than the baseline");
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc is there, since cargo was");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
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
            variants[variant].request();
        }
        counted(&variants[variant], count);
    });
}

#[inline(never)]
fn counted(variant: &Variant, count: u32) {
    for _ in 0..count {
        variant.request();
    }
}

fn with_variants<R>(run: impl FnOnce(&[Variant]) -> R) -> R {
    // Nothing but the requests: a runtime that is only polled at the end, so that the flusher takes
    // no part.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let monitors = Monitors::start(&runtime);
    #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
    let mut variants = variants(&monitors);
    #[cfg(feature = "peers")]
    variants.extend(tower_influx_benches::peers::Peers::new(&runtime).variants());
    let result = run(&variants);
    monitors.close(&runtime);
    result
}

/// More than a tag may have values by default.
/// How the baseline's first line begins.
const COMPILER: &str = "# ";
const WARM_UP: u32 = 1_500;
const COUNT: u32 = 1_000;
