//! The loop of the flusher's task: what it waits for, and what it then does.

use std::{collections::VecDeque, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep_until},
};

use crate::{
    delivery::{buffer::Buffer, log_throttle::LogThrottle, sink::rejected::RejectedFiles, spool::Spool},
    stats::ledger::Ledger,
};

use super::{
    batcher::Batcher,
    bisect::Learned,
    body_limit::BodyLimit,
    circuit_breaker::{BreakerState, CircuitBreaker},
    closing::Closing,
    command::Command,
    destination::{Destination, SinkHandle},
    flush_waiter::FlushWaiter,
    in_flight::{InFlight, Job, JobOutcome},
    pace::Pace,
    parked::Parked,
    pending::PendingBatch,
    queue::{Next, Queue},
    settings::FlushSettings,
    shared::Shared,
    state_log::StateLog,
    timing::Timing,
};

/// Everything that the task owns. It outlives a panic of the loop, so that no point is lost with
/// it, and its end, however it comes about, handles what is left.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) buffer: Arc<Buffer>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) sink: SinkHandle,
    /// Its name for the spool.
    pub(super) target: String,
    /// Where refused lines go for people to see.
    pub(super) rejected: Option<Arc<RejectedFiles>>,
    pub(super) spool: Option<Arc<Spool>>,
    /// Spools of before a reload. What lies in them for the sink there is now is sent; the rest
    /// stays for another time.
    pub(super) retired: Vec<Arc<Spool>>,
    pub(super) settings: FlushSettings,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) batcher: Batcher,
    pub(super) queue: Queue,
    /// Going to disk.
    pub(super) to_store: VecDeque<PendingBatch>,
    pub(super) in_flight: InFlight,
    pub(super) breaker: CircuitBreaker,
    pub(super) timing: Timing,
    pub(super) flushes: Vec<FlushWaiter>,
    pub(super) body_limit: BodyLimit,
    /// What this sink has refused before.
    pub(super) learned: Learned,
    pub(super) pace: Pace,
    /// What lies in a spool for another destination and is in memory, too: pieces of batches, which
    /// cannot be given back to the spool. They go on when a reload names their destination again.
    pub(super) parked: Parked,
    /// No point is stored before then: the disk has just failed.
    pub(super) spool_rests_until: Option<Instant>,
    /// When what dead processes have left is looked for.
    pub(super) next_adoption: Instant,
    /// How long the sink has been blocked, without the time since `blocked_since`.
    pub(super) blocked_total: Duration,
    pub(super) blocked_since: Option<Instant>,
    pub(super) closing: Option<Closing>,
    /// When small batches were joined first.
    pub(super) joined_from: Option<Instant>,
    pub(super) state_log: StateLog,
    pub(super) drop_log: LogThrottle,
    pub(super) reject_log: LogThrottle,
    /// No handle is left to give commands, while a shutdown is under way.
    commands_closed: bool,
    pub(super) finished: bool,
    /// Whether it runs on the thread of delivery, and so by the clock of the system.
    pub(super) own_thread: bool,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, and it is taken apart at once")]
enum Event {
    Command(Option<Command>),
    Ended(Job, JobOutcome),
    /// The buffer is not empty any more.
    Points,
    /// The buffer holds a batch's worth.
    Full,
    Timer,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        destination: Destination,
        settings: FlushSettings,
        commands: mpsc::UnboundedReceiver<Command>,
        own_thread: bool,
    ) -> Self {
        let mut random = fastrand::Rng::new();
        let learned = Learned::new(settings.strip_refused_extras);
        let Destination { sink, spool, rejected } = destination;
        Self {
            buffer: Arc::clone(&shared.buffer),
            ledger: Arc::clone(&shared.ledger),
            shared,
            target: sink.0.target(),
            sink,
            spool,
            rejected,
            retired: Vec::new(),
            commands,
            batcher: Batcher::default(),
            queue: Queue::default(),
            to_store: VecDeque::new(),
            in_flight: InFlight::default(),
            breaker: CircuitBreaker::new(&settings, random.fork()),
            timing: Timing::new(settings.flush_interval, random),
            settings,
            flushes: Vec::new(),
            body_limit: BodyLimit::default(),
            learned,
            pace: Pace::default(),
            parked: Parked::default(),
            spool_rests_until: None,
            next_adoption: Instant::now(),
            blocked_total: Duration::ZERO,
            blocked_since: None,
            closing: None,
            joined_from: None,
            state_log: StateLog::default(),
            drop_log: LogThrottle::default(),
            reject_log: LogThrottle::default(),
            commands_closed: false,
            finished: false,
            own_thread,
        }
    }

    /// Runs until the monitor is shut down or its last handle is gone.
    pub(super) async fn run(&mut self) {
        if self.breaker.successes().writes == 0 && self.closing.is_none() {
            // A wrong token shall show before the first traffic does.
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
                Event::Command(Some(command)) => self.handle_command(command),
                Event::Command(None) if self.closing.is_some() => self.commands_closed = true,
                Event::Command(None) => {
                    self.abandon("the last handle of the monitor was dropped without a shutdown");
                    return;
                }
                Event::Ended(job, outcome) => self.handle_outcome(job, outcome),
                Event::Points => self.timing.arm(self.settings.flush_interval),
                Event::Full => self.collect(false),
                Event::Timer => self.tick(),
            }
        }
    }

    async fn event(&mut self) -> Event {
        let deadline = self.deadline();
        let may_drain = self.may_drain();
        let idle = may_drain && self.timing.due.is_none() && !self.timing.deferred;
        let full = self.body_bounds().1;
        tokio::select! {
            biased;
            command = self.commands.recv(), if !self.commands_closed => Event::Command(command),
            (job, outcome) = self.in_flight.next() => Event::Ended(job, outcome),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Event::Timer,
            () = self.buffer.wait_for_points(), if idle => Event::Points,
            () = self.buffer.wait_until_full(full), if may_drain && !idle => Event::Full,
        }
    }

    /// Starts whatever may be started now.
    pub(super) fn dispatch(&mut self) {
        let paused = self.breaker.state().is_open();
        let may_send = !paused && !self.is_busy();
        if self.timing.deferred && (may_send || self.goes_to_disk_first()) {
            self.collect(true);
        } else if may_send && self.batcher.bytes() >= self.body_bounds().1 {
            self.collect(false);
        }
        self.expire();
        self.maintain_spools();
        self.bound_memory();
        self.start_store();
        self.start_load();
        loop {
            if self.in_flight.sends() >= self.write_slots() || self.sends_nothing_more() {
                return;
            }
            if let BreakerState::HalfOpen { blocked: Some(_) } = self.breaker.state() {
                self.start_probe();
                return;
            }
            let unproven = !self.breaker.is_proven();
            if unproven && self.is_loading() && !self.queue.has_untried() {
                // What has failed is not tried again before something else was: that is on its way
                // from the disk.
                return;
            }
            let next = match self.queue.pick(unproven) {
                // Checked here, on every path: a batch in a spool belongs to the destination of its
                // spool.
                Some(next) if !next.origin().is_for(&self.target) => {
                    self.park(next);
                    continue;
                }
                next => next,
            };
            match next {
                // What may be at fault itself goes alone, so that each failure of it has successes
                // of others beside it.
                Some(next) if next.is_suspect() && self.in_flight.jobs().any(Job::is_suspect) => {
                    return self.queue.put_back_front(next);
                }
                // One is always sent, for which room is set aside.
                Some(Next::Batch(pending))
                    if self.in_flight.sends() > 0
                        && (!self.may_be_in_flight(pending.raw_bytes(), !pending.live)
                            || !self.reserve(pending.bytes_to_decompress())) =>
                {
                    return self.queue.put_back_front(Next::Batch(pending));
                }
                Some(Next::Batch(pending)) => self.start_write(pending),
                Some(Next::Search(search)) => self.start_search(*search),
                None => return,
            }
        }
    }

    /// Takes what is in the buffer, and makes batches of it: full ones, or of everything.
    pub(super) fn collect(&mut self, all: bool) {
        let room = self.make_room();
        if room {
            self.batcher.drain(&self.buffer, &self.ledger);
        }
        loop {
            let (lines, bytes) = self.body_bounds();
            let Some(batch) = self.batcher.next_batch(lines, bytes, all, &self.buffer) else { break };
            self.admit(batch);
        }
        self.update_buffer_limit();
        if all && room {
            self.timing.collected(self.settings.flush_interval);
            self.number_flushes();
        } else if all {
            self.timing.defer();
        }
    }

    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.settings.flush_interval = interval;
        self.timing.next = Instant::now();
        if self.timing.due.is_some() {
            self.timing.arm(interval);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if let Some(closing) = &mut self.closing {
            closing.tick(now);
        }
        self.breaker.expire(now);
        if self.timing.due.is_some_and(|due| due <= now) {
            let paused = self.breaker.state().is_open();
            if paused && self.usable_spool().is_none() {
                // Sealing now would make a small batch each second for as long as the outage lasts.
                self.timing.defer();
            } else if self.grows_next_body() {
                self.timing.defer();
            } else {
                self.collect(true);
            }
        }
    }

    /// Returns the next deadline of the loop. `None` while there is not: an idle service costs
    /// nothing.
    fn deadline(&self) -> Option<Instant> {
        let retry = match self.breaker.state() {
            BreakerState::Open { until, .. } if self.has_work() => Some(until),
            _ => None,
        };
        let closing = self.closing.as_ref().and_then(Closing::next_step);
        let state = self.next_state_line();
        [self.timing.due, retry, self.next_expiry(), self.next_maintenance(), state, closing]
            .into_iter()
            .flatten()
            .min()
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty()
            || self.batcher.points() > 0
            || self.timing.deferred
            || self.timing.due.is_some()
            || self.something_stored()
    }
}
