//! Ways to measure, for machines that have other work as well.

use std::{env, process::Command, time::Duration};

use rustix::{
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

use crate::Variant;

/// The middle of some numbers.
pub fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A whole number, its digits in groups of three.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    let sign = if number < 0.0 { "-" } else { "" };
    sign.to_owned() + &groups.collect::<Vec<_>>().join(",")
}

/// Processor time of this thread for one run of `count` requests.
pub fn time(variant: &Variant, count: u32) -> Duration {
    let start = thread_time();
    for _ in 0..count {
        variant.request();
    }
    thread_time() - start
}

/// Processor time that this thread has used so far: without what it waited for a core, and for
/// locks.
pub fn thread_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// Processor time that all threads of this process have used so far.
pub fn process_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("less than a second"))
}

/// Keeps this thread, and all threads and processes that it starts, on one core.
pub fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("there is such a core");
}

/// Runs this program once more with these arguments, under valgrind, and counts the instructions
/// inside of its functions named `counted`: starting up, and what other threads do meanwhile, is
/// not part of it.
pub fn callgrind(arguments: &[String]) -> i64 {
    let this = env::current_exe().expect("a path");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--collect-atstart=no",
            "--toggle-collect=*counted*",
        ])
        .arg(this)
        .args(arguments)
        .output()
        .expect("valgrind is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind's count");
    collected.1.trim().parse().expect("a number")
}
