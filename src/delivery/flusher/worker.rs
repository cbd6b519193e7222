//! The loop of the flusher's task: it waits for events and passes them between the parts.
//!
//! The parts decide without I/O: the [`batcher`](super::batcher), the
//! [`scheduler`](super::scheduler), the [`spool_feeder`](super::spool_feeder), the
//! [`circuit_breaker`](super::circuit_breaker), [`closing`](super::closing), and
//! [`failures`](super::failures). The worker asks them and executes their decisions. It
//! [starts](super::start) writes and work of the disk, and [handles](super::answers) their results.

use std::{future::pending, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    accounting::Accounting,
    batch_ref::BatchRef,
    batcher::Batcher,
    bisect::RefusalCache,
    circuit_breaker::CircuitBreaker,
    closing::Closing,
    command::Command,
    conditions::Conditions,
    destination::{Destination, SinkHandle},
    in_flight::{EndedJob, InFlight},
    queue::Next,
    scheduler::{Action, Drain, Placement, Scheduler},
    settings::FlushSettings,
    shared::Shared,
    spool_feeder::{self, SpoolFeeder},
    state::StateReporter,
    timing::Timing,
};

/// The state of the task. It outlives a panic of the loop, so that no point is lost. When it is
/// dropped, however that happens, it handles the remaining points.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: SinkHandle,
    pub(super) settings: FlushSettings,
    /// `None` when no command can arrive any more.
    pub(super) commands: Option<mpsc::UnboundedReceiver<Command>>,
    pub(super) batcher: Batcher,
    pub(super) scheduler: Scheduler,
    pub(super) feeder: SpoolFeeder,
    pub(super) in_flight: InFlight,
    pub(super) breaker: CircuitBreaker,
    pub(super) accounting: Accounting,
    pub(super) state: StateReporter,
    pub(super) closing: Option<Closing>,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, and it is taken apart at once")]
enum WorkerEvent {
    Command(Option<Command>),
    Ended(EndedJob),
    /// The buffer is no longer empty.
    Points,
    /// The buffer contains a full batch.
    Full,
    Timer,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        destination: Destination,
        settings: FlushSettings,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let mut random = fastrand::Rng::new();
        let Destination { sink, spool, rejected } = destination;
        Self {
            commands: Some(commands),
            scheduler: Scheduler::new(RefusalCache::new(settings.strip_refused_extras)),
            feeder: SpoolFeeder::new(spool, sink.0.target()),
            in_flight: InFlight::default(),
            breaker: CircuitBreaker::new(&settings, random.fork()),
            batcher: Batcher::new(Timing::new(settings.flush_interval, random)),
            accounting: Accounting::new(Arc::clone(&shared), rejected),
            state: StateReporter::new(Arc::clone(&shared)),
            closing: None,
            shared,
            sink,
            settings,
        }
    }

    /// Runs until the monitor is shut down or its last handle is dropped.
    pub(super) async fn run(&mut self) {
        if self.breaker.successes().writes == 0 && self.closing.is_none() {
            // A wrong token must be reported before the first traffic.
            self.start_probe();
        }
        loop {
            if self.advance_closing() {
                return;
            }
            self.dispatch();
            self.answer_flushes();
            self.publish();
            match self.event().await {
                WorkerEvent::Command(Some(command)) => self.handle_command(command),
                WorkerEvent::Command(None) if self.closing.is_some() => self.commands = None,
                WorkerEvent::Command(None) => {
                    self.abandon("the last handle of the monitor was dropped without a shutdown");
                    return;
                }
                WorkerEvent::Ended(ended) => self.handle_ended(ended),
                WorkerEvent::Points => self.batcher.timing.arm(self.settings.flush_interval),
                WorkerEvent::Full => self.collect(false),
                WorkerEvent::Timer => self.tick(),
            }
        }
    }

    async fn event(&mut self) -> WorkerEvent {
        let conditions = self.conditions();
        let deadline = self.deadline(&conditions);
        let may_drain = self.may_drain();
        let idle = may_drain && self.batcher.timing.is_idle();
        let full = self.scheduler.body_bounds(&conditions).1;
        let buffer = &self.shared.buffer;
        tokio::select! {
            biased;
            command = next_command(&mut self.commands) => WorkerEvent::Command(command),
            ended = self.in_flight.next() => WorkerEvent::Ended(ended),
            () = sleep_until(deadline.unwrap_or(conditions.now)), if deadline.is_some() => WorkerEvent::Timer,
            () = buffer.wait_for_points(), if idle => WorkerEvent::Points,
            () = buffer.wait_until_full(full), if may_drain && !idle => WorkerEvent::Full,
        }
    }

    /// Starts everything that may be started now.
    fn dispatch(&mut self) {
        let (deferred, drained) = (self.batcher.timing.is_deferred(), self.batcher.bytes());
        match self.scheduler.drain(&self.conditions(), deferred, drained) {
            Drain::Nothing => {}
            Drain::FullBatches => self.collect(false),
            Drain::Everything => self.collect(true),
        }
        self.expire();
        self.maintain_spools();
        self.bound_memory();
        self.start_stores();
        self.start_load();
        loop {
            let conditions = self.conditions();
            match self.scheduler.next(&conditions, self.feeder.target()) {
                Action::Wait => return,
                Action::Probe => self.start_probe(),
                // One write is always allowed, since memory is reserved for it.
                Action::Write(pending)
                    if conditions.in_flight.sends + conditions.in_flight.former_sends > 0
                        && !self.reserve(pending.bytes_to_decompress()) =>
                {
                    return self.scheduler.queue.put_back_front(Next::Batch(pending));
                }
                Action::Write(pending) => self.start_write(pending),
                Action::Search(search) => self.start_search(*search),
                Action::Park(next) => {
                    self.accounting.spooled(next.batch());
                    self.feeder.park(next, &mut self.scheduler.queue);
                }
            }
        }
    }

    /// Takes the content of the buffer, and creates batches of it: full ones, or of everything.
    pub(super) fn collect(&mut self, all: bool) {
        let room = self.make_room();
        if room {
            self.batcher.drain(&self.shared.buffer, &self.shared.ledger);
        }
        loop {
            let (lines, bytes) = self.scheduler.body_bounds(&self.conditions());
            let Some(batch) = self.batcher.next_batch(lines, bytes, all, &self.shared.buffer) else { break };
            self.admit(batch);
        }
        self.update_buffer_limit();
        if all && room {
            self.batcher.timing.collected(self.settings.flush_interval);
            self.accounting.flushes.number(self.batcher.sequence());
        } else if all {
            self.batcher.timing.defer();
        }
    }

    /// Moves a batch to where it waits.
    pub(super) fn put(&mut self, placement: Placement) {
        match placement {
            Placement::Queued => {}
            Placement::Compress(pending) => self.start_compression(pending),
            Placement::Store(pending) => self.feeder.push(pending),
            Placement::Spooled(pending) => {
                self.accounting.spooled(&pending);
                spool_feeder::put_back(pending, &mut self.scheduler.queue);
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if let Some(closing) = &mut self.closing {
            closing.tick(now);
        }
        self.breaker.expire(now);
        if self.batcher.timing.is_due(now) {
            match self.scheduler.defers_drain(&self.conditions()) {
                true => self.batcher.timing.defer(),
                false => self.collect(true),
            }
        }
    }

    /// Returns the next deadline of the loop. Returns `None` while nothing is due, so that an idle
    /// service costs nothing.
    fn deadline(&self, conditions: &Conditions) -> Option<Instant> {
        let retry = conditions.breaker.next_attempt(self.has_work());
        let closing = self.closing.as_ref().and_then(Closing::next_step);
        let maintenance = self.feeder.next_maintenance(conditions, &self.scheduler.queue);
        let (due, state) = (self.batcher.timing.due, self.state.next_line());
        [due, retry, self.next_expiry(), maintenance, state, closing].into_iter().flatten().min()
    }

    fn has_work(&self) -> bool {
        !self.scheduler.queue.is_empty() || self.batcher.has_points() || self.feeder.has_stored()
    }

    /// Describes the current situation for the parts.
    pub(super) fn conditions(&self) -> Conditions {
        let now = Instant::now();
        Conditions {
            settings: self.settings,
            now,
            breaker: self.breaker.state(),
            proven: self.breaker.is_proven(),
            closing: self.closing.is_some(),
            sending_over: self.closing.as_ref().is_some_and(Closing::sends_nothing_more),
            spool: self.feeder.is_usable(now),
            in_flight: self.in_flight.counts(),
        }
    }

    /// Returns all batches in memory, including those of running jobs.
    pub(super) fn batches(&self) -> impl Iterator<Item = BatchRef<'_>> {
        self.scheduler.queue.all().chain(self.feeder.batches()).chain(self.in_flight.batches())
    }
}

async fn next_command(commands: &mut Option<mpsc::UnboundedReceiver<Command>>) -> Option<Command> {
    match commands {
        Some(commands) => commands.recv().await,
        None => pending().await,
    }
}
