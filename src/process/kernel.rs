//! The values of a process in Linux' `/proc`.

use std::{sync::OnceLock, time::Duration};

use procfs::{
    ProcResult, boot_time_secs, page_size, process::LimitValue, process::Process, ticks_per_second,
};

use super::ProcessValues;

/// Reads the values. A process that may not read `/proc/self/fd`, such as one with capabilities,
/// still gets the other values.
pub(super) fn read(values: &mut ProcessValues) {
    let read = Process::myself().and_then(|process| {
        let stat = read_stat(values, &process);
        let files = read_files(values, &process);
        stat.and(files)
    });
    values.error = read.err().map(|error| error.to_string());
}

fn read_stat(values: &mut ProcessValues, process: &Process) -> ProcResult<()> {
    let stat = process.stat()?;
    values.cpu_time = Some(ticks(stat.utime.saturating_add(stat.stime)));
    values.resident_memory = Some(stat.rss.saturating_mul(page_size()));
    values.virtual_memory = Some(stat.vsize);
    values.threads = u64::try_from(stat.num_threads).ok();
    values.start_time = Some(boot_time()? + ticks(stat.starttime));
    Ok(())
}

fn read_files(values: &mut ProcessValues, process: &Process) -> ProcResult<()> {
    if let LimitValue::Value(limit) = process.limits()?.max_open_files.soft_limit {
        values.max_open_files = Some(limit);
    }
    values.open_files = Some(process.fd_count()? as u64);
    Ok(())
}

/// Reads the boot time only once: its file has a line for every processor.
fn boot_time() -> ProcResult<Duration> {
    static BOOT_TIME: OnceLock<Duration> = OnceLock::new();
    if let Some(time) = BOOT_TIME.get() {
        return Ok(*time);
    }
    let time = Duration::from_secs(boot_time_secs()?);
    Ok(*BOOT_TIME.get_or_init(|| time))
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / ticks_per_second() as f64)
}
