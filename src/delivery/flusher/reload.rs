//! Handles the commands of the handle; a reload replaces the destination and the settings.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    bisect::Learned, body_limit::BodyLimit, closing::Closing, command::Command, destination::Destination,
    pace::Pace, settings::FlushSettings, worker::Worker,
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
                    let started = match self.own_thread {
                        true => now.checked_sub(asked.elapsed()).unwrap_or(now),
                        false => now,
                    };
                    self.closing = Some(Closing::new(started, timeout, self.spool.is_some()));
                }
            }
            #[cfg(test)]
            Command::Panic { losing_a_batch } => {
                let _lost = if losing_a_batch { self.queue.take_oldest() } else { None };
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
        let same_spool = match (&self.spool, &spool) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same_spool {
            for pending in std::mem::take(&mut self.queue.loaded) {
                self.back_to_spool(pending);
            }
            self.retired.extend(self.spool.take());
            // One that comes back is where it was.
            self.retired.retain(|old| spool.as_ref().is_none_or(|new| !Arc::ptr_eq(old, new)));
            (self.spool_rests_until, self.next_adoption) = (None, Instant::now());
        }
        self.retired.retain(|spool| !spool.is_done());
        self.shared.replace(&replaced, settings.write_timeout, &self.retired);
        self.target = sink.0.target();
        (self.sink, self.spool, self.rejected) = (sink, spool, rejected);
        self.body_limit = BodyLimit::default();
        self.pace = Pace::default();
        self.unpark();
        self.learned = Learned::new(settings.strip_refused_extras);
        self.breaker.configure(&settings);
        let interval = settings.flush_interval;
        self.settings = settings;
        self.set_interval(interval);
        self.breaker.attempt();
    }
}
