//! Injects errors of disks that tests cannot cause otherwise, for everything below one directory.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    CreateDirectory,
    Lock,
    /// Fails after this many bytes of each write.
    Write(usize),
    Sync,
    Remove,
    Rename,
    Read,
    /// Opening a directory.
    List,
    /// Reading the next file of a directory.
    ListNext,
}

/// The fault ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct InjectedFault(PathBuf, Operation);

struct FaultRule {
    directory: PathBuf,
    operation: Operation,
    code: i32,
    times: usize,
}

impl Drop for InjectedFault {
    fn drop(&mut self) {
        let mut faults = FAULTS.lock();
        faults.retain(|fault| (&fault.directory, &fault.operation) != (&self.0, &self.1));
    }
}

/// Injects a fault. `code` is that of the operating system, such as 28 for a full disk.
pub(crate) fn inject(directory: &Path, operation: Operation, code: i32) -> InjectedFault {
    inject_times(directory, operation, code, usize::MAX)
}

/// Injects a fault that ends after it has occurred `times` times.
pub(crate) fn inject_times(directory: &Path, operation: Operation, code: i32, times: usize) -> InjectedFault {
    let fault = FaultRule { directory: directory.to_owned(), operation, code, times };
    FAULTS.lock().push(fault);
    InjectedFault(directory.to_owned(), operation)
}

/// An operation that does not go on until this value is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    rule: (PathBuf, Operation),
    reached: Receiver<()>,
    _go: Sender<()>,
}

struct HoldRule {
    rule: (PathBuf, Operation),
    reached: Sender<()>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl Held {
    /// Waits until an operation is held.
    pub(crate) fn wait(&self) {
        self.reached.recv_timeout(Duration::from_secs(30)).expect("the operation begins");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HOLDS.lock().retain(|hold| hold.rule != self.rule);
    }
}

/// Holds an operation, as if the disk hung.
pub(crate) fn hold(directory: &Path, operation: Operation) -> Held {
    let ((reaches, reached), (go, wait)) = (channel(), channel());
    let rule = (directory.to_owned(), operation);
    HOLDS.lock().push(HoldRule { rule: rule.clone(), reached: reaches, go: Arc::new(Mutex::new(wait)) });
    Held { rule, reached, _go: go }
}

fn wait_if_held(wanted: Operation, path: &Path) {
    let held = {
        let holds = HOLDS.lock();
        let mut holds = holds.iter().filter(|hold| hold.rule.1 == wanted);
        let hold = holds.find(|hold| path.starts_with(&hold.rule.0));
        hold.map(|hold| (hold.reached.clone(), Arc::clone(&hold.go)))
    };
    if let Some((reached, go)) = held {
        // Fails if the test has ended.
        let _ = reached.send(());
        // Nothing is ever sent: this ends when the other side is dropped.
        let _ = go.lock().recv();
    }
}

/// Creates the file of an `AlreadyExists` fault, as a quicker process would have done.
pub(super) fn create_first(path: &Path, error: &io::Error) {
    if error.kind() == io::ErrorKind::AlreadyExists {
        fs::write(path, "").expect("it can be created");
    }
}

pub(super) fn cut_write<'a>(path: &Path, bytes: &'a [u8]) -> Option<(&'a [u8], io::Error)> {
    find(path, |operation| match operation {
        Operation::Write(count) => Some(&bytes[..count.min(bytes.len())]),
        _ => None,
    })
}

pub(crate) fn check(wanted: Operation, path: &Path) -> io::Result<()> {
    wait_if_held(wanted, path);
    match find(path, |operation| (operation == wanted).then_some(())) {
        Some(((), error)) => Err(error),
        None => Ok(()),
    }
}

fn find<T>(path: &Path, select: impl Fn(Operation) -> Option<T>) -> Option<(T, io::Error)> {
    let mut faults = FAULTS.lock();
    let mut faults = faults.iter_mut().filter(|fault| path.starts_with(&fault.directory));
    faults.find_map(|fault| {
        let found = select(fault.operation)?;
        fault.times = fault.times.checked_sub(1)?;
        Some((found, io::Error::from_raw_os_error(fault.code)))
    })
}

static FAULTS: Mutex<Vec<FaultRule>> = Mutex::new(Vec::new());
static HOLDS: Mutex<Vec<HoldRule>> = Mutex::new(Vec::new());
