//! The memory that a monitor holds, and how often it wakes up when nothing happens.
//!
//! `cargo run --release --bin memory` in this folder; takes two minutes. Each row is a process of
//! its own, so that none inherits another's memory. The heap is what was asked for and not yet
//! given back, of all threads; RSS is the kernel's count, with the program itself and whatever the
//! allocator keeps.

use std::{
    alloc::System,
    env,
    process::{Child, Command, Stdio},
};

use cap::Cap;
use tower_influx_benches::server::discard;

mod idle;
mod states;

#[global_allocator]
pub(crate) static HEAP: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => {}
        [what] if what == "discard" => return discard(),
        [what, which] => {
            let which: usize = which.parse().expect("a number");
            return if what == "idle" { idle::ROWS[which].1() } else { states::ROWS[which].1() };
        }
        other => panic!("no arguments are expected, not {other:?}"),
    }
    // They wait for two minutes, and what the others do meanwhile wakes none of them.
    let idle: Vec<Child> = (0..idle::ROWS.len()).map(|row| start("idle", row)).collect();
    println!("| state | heap, KiB | its peak | RSS, KiB | its peak |\n|---|--:|--:|--:|--:|");
    for (row, (name, _)) in states::ROWS.iter().enumerate() {
        println!("| {name} | {} |", end(start("state", row)));
    }
    println!("\n| idle for {} s | wake-ups |\n|---|--:|", idle::SECONDS);
    for ((name, _), child) in idle::ROWS.iter().zip(idle) {
        println!("| {name} | {} |", end(child));
    }
}

fn start(what: &str, row: usize) -> Child {
    let this = env::current_exe().expect("a path");
    let mut command = Command::new(this);
    command.args([what, &row.to_string()]).stdout(Stdio::piped()).spawn().expect("we can start ourselves")
}

/// The cells that it prints.
fn end(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "a row has failed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
