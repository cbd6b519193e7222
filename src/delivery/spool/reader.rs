//! Reads single batches back from disk, to be sent.

use super::*;

impl Spool {
    pub(super) fn load_blocking(&self, entry: &SpoolEntry) -> Result<Batch, LoadError> {
        if self.is_expired(entry) {
            let removed = {
                let mut state = self.state();
                let removed = state.queue.remove(entry);
                if removed {
                    self.ledger.lock().drop_spooled(DropReason::SpoolExpired, entry.points());
                }
                removed
            };
            if removed {
                self.log_expired(std::slice::from_ref(entry));
                self.delete(std::slice::from_ref(entry));
            }
            return Err(LoadError::Lost);
        }
        let path = entry.0.path();
        let read = format::read_header(&path, self.target).and_then(|(found, file)| match found {
            Found::Batch(header) => {
                let lines = format::read_lines(&file, &header)?;
                Ok(header.batch(lines).ok_or(Some(recovery::LINES)))
            }
            Found::Damaged(why) => Ok(Err(Some(why))),
            Found::OtherTarget | Found::NewerVersion => Ok(Err(None)),
        });
        match read {
            Ok(Ok(batch)) if batch.len() == entry.points() => Ok(batch),
            // Another batch was put in the place of the file. It is left alone.
            Ok(Ok(_) | Err(None)) => Err(self.lose(entry, None)),
            Ok(Err(Some(why))) => Err(self.lose(entry, Some(why))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.lose(entry, None)),
            Err(error) => {
                let mut state = self.state();
                state.errors += 1;
                if state.queue.count_unreadable(entry) < READS {
                    return Err(LoadError::Io(error));
                }
                drop(state);
                Err(self.lose(entry, Some("it could not be read three times")))
            }
        }
    }

    /// Removes an entry whose file no longer holds its batch. With a reason, the file is moved to
    /// the quarantine.
    fn lose(&self, entry: &SpoolEntry, why: Option<&str>) -> LoadError {
        let path = entry.0.path();
        if let Some(why) = why {
            self.quarantine.take(&path, why);
        } else if let Some(others) = self.log.lost.speak() {
            tracing::warn!(
                target: "tower_influx",
                file = %path.display(),
                points = entry.points(),
                others,
                "points dropped, their spooled file was deleted or replaced by another program: they are counted \
                 as `spool_corrupt`; keep other programs out of the directory"
            );
        }
        let mut state = self.state();
        if state.queue.remove(entry) {
            state.corrupt += 1;
            self.ledger.lock().drop_spooled(DropReason::SpoolCorrupt, entry.points());
        }
        LoadError::Lost
    }
}

/// How many times reading a file is attempted.
const READS: u8 = 3;
