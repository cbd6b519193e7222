//! Handles the commands of the handle; a reload replaces the destination and the settings.

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
                // Fails only if nobody waits for it any more.
                let _ = done.send(());
            }
            Command::TryNow => self.breaker.attempt(),
            Command::Shutdown { asked, timeout } => {
                if self.closing.is_none() {
                    let now = Instant::now();
                    // A flusher that was busy has less time left.
                    let started = asked.and_then(|asked| now.checked_sub(asked.elapsed())).unwrap_or(now);
                    self.closing = Some(Closing::new(started, timeout, self.feeder.spool().is_some()));
                }
            }
            #[cfg(test)]
            Command::Panic { losing_a_batch } => {
                let _lost = if losing_a_batch { self.scheduler.queue.take_oldest() } else { None };
                // Quietly, without the hook.
                std::panic::resume_unwind(Box::new("asked for by a test"))
            }
        }
    }

    /// Replaces the settings. What is in flight ends as it began; everything else follows the new
    /// settings. What lies in a spool for another destination stays there for the next process, or
    /// reload, that goes there.
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
        self.scheduler.replace_destination(RefusalCache::new(settings.strip_refused_extras));
        self.feeder.unpark(&mut self.scheduler.queue);
        self.breaker.configure(&settings);
        self.settings = settings;
        self.set_interval(settings.flush_interval);
        self.breaker.attempt();
    }

    fn set_interval(&mut self, interval: Duration) {
        self.settings.flush_interval = interval;
        self.batcher.timing.set_interval(interval);
    }
}
