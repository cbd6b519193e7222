//! Whether a search is worth its requests.

use crate::delivery::batch::Batch;

use super::{
    Search,
    item::{Item, Test, lines},
};

impl Search {
    /// After many requests with little to show, single lines from all over the batch tell whether to go on.
    pub(super) fn review(&mut self) {
        let little = self.written * 20 < self.lines;
        if self.by_failure || self.sample.is_some() || self.requests < self.review_at || !little {
            return;
        }
        self.review_at = self.requests * 2;
        let total = self.remaining_points();
        if total <= SAMPLE {
            return;
        }
        let mut taken = Vec::with_capacity(SAMPLE);
        let mut seen = 0;
        let mut picks = (0..SAMPLE).map(|part| {
            let (from, to) = (part * total / SAMPLE, (part + 1) * total / SAMPLE);
            fastrand::usize(from..to)
        });
        let mut pick = picks.next();
        let batches: Vec<Batch> = self.items.drain(..).flat_map(Item::into_batches).collect();
        for batch in batches {
            let (chosen, others) = batch.partition(|_, _| {
                let chosen = pick == Some(seen);
                if chosen {
                    pick = picks.next();
                }
                seen += 1;
                chosen
            });
            taken.extend(chosen);
            self.items.extend(others.map(|others| Item::Test(self.test(others, None))));
        }
        for chosen in taken {
            for piece in lines(&chosen) {
                let test = Test { sampled: true, ..self.test(piece, None) };
                self.items.push_front(Item::Test(test));
            }
        }
        self.sample = Some((SAMPLE, false));
    }

    /// One of the single lines was answered.
    pub(super) fn sampled(&mut self, sampled: bool, good: bool) {
        if let (true, Some((left, any))) = (sampled, &mut self.sample) {
            *left -= 1;
            *any |= good;
            if *left == 0 {
                self.hopeless = !*any;
                self.sample = None;
            }
        }
    }
}

/// Single lines that decide whether a search goes on; with a twentieth of the lines good, one in thirty is stopped wrongly.
const SAMPLE: usize = 64;
