//! Handles the commands of the handle. A reload replaces the destination and the settings.

use tokio::time::{Duration, Instant};

use super::{
    bisect::RefusalCache, closing::Closing, command::Command, destination::Destination,
    settings::FlushSettings, spool_feeder::give_back, worker::Worker,
};

impl Worker {
    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Flush(reply) => self.flush(reply),
            Command::Interval(interval) => self.set_interval(interval),
            Command::Reload { destination, settings, done } => {
                self.reload(destination, settings);
                // Fails only if the caller no longer waits.
                let _ = done.send(());
            }
            Command::TryNow => self.breaker.attempt(),
            Command::Shutdown { asked, timeout } => {
                if self.closing.is_none() {
                    let now = Instant::now();
                    // If the flusher was busy, less of the timeout is left.
                    let started = asked.and_then(|asked| now.checked_sub(asked.elapsed())).unwrap_or(now);
                    self.closing = Some(Closing::new(started, timeout, self.feeder.spool().is_some()));
                }
            }
            #[cfg(test)]
            Command::Panic { losing_a_batch } => {
                let _lost = if losing_a_batch { self.scheduler.queue.take_oldest() } else { None };
                // Without the panic hook, so that nothing is printed.
                std::panic::resume_unwind(Box::new("asked for by a test"))
            }
        }
    }

    /// Replaces the destination and the settings. Jobs in flight end as they began, and their
    /// answers say nothing about the new destination; everything else follows the new settings.
    /// Batches in a spool for another destination stay there for a later process or reload with
    /// that destination.
    fn reload(&mut self, destination: Destination, settings: FlushSettings) {
        let replaced = destination.clone();
        let Destination { sink, spool, rejected } = destination;
        if self.feeder.replace(spool, sink.0.target(), Instant::now()) {
            for pending in std::mem::take(&mut self.scheduler.queue.loaded) {
                self.accounting.spooled(&pending);
                give_back(pending, &mut self.scheduler.queue);
            }
        }
        self.shared.replace(&replaced, settings.write_timeout, self.feeder.retired());
        (self.sink, self.accounting.rejected) = (sink, rejected);
        self.in_flight.replace_destination();
        for search in std::mem::take(&mut self.scheduler.queue.searches) {
            self.end_search(search);
        }
        self.scheduler.replace_destination(RefusalCache::new(settings.strip_refused_extras));
        // Nothing more is sent at the end of a shutdown, which would wait for the pieces for ever.
        if !self.conditions().sending_over {
            self.feeder.unpark(&mut self.scheduler.queue);
        }
        self.breaker.configure(&settings);
        self.settings = settings;
        self.set_interval(settings.flush_interval);
        self.breaker.replace_destination();
    }

    fn set_interval(&mut self, interval: Duration) {
        self.settings.flush_interval = interval;
        self.batcher.timing.set_interval(interval);
    }
}
