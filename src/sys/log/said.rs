//! What was said, on its way to the writer: its words stand behind those of others in large pieces of memory, which go back
//! to the kernel as they are written. Thousands of small ones, made between what stays, would leave holes among it for ever.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use bytes::{Buf as _, Bytes, BytesMut};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};

use super::Line;

/// A piece, octets: large enough to be no part of the heap.
const PIECE: usize = 32 * 1024;
/// Less room than this at the end of a piece is left, octets.
const LINE: usize = 512;

thread_local! {
    /// What is left of this thread's piece.
    static ROOM: Cell<BytesMut> = Cell::default();
}

/// One message in words, not put together yet.
pub(super) struct Said {
    at: SystemTime,
    meta: &'static Metadata<'static>,
    /// Of each field its index (4) and length (4), then its text.
    words: Bytes,
}

impl Said {
    /// Words an event: what it refers to does not outlive the call.
    pub(super) fn new(event: &Event<'_>) -> Self {
        let at = SystemTime::now();
        // Whoever says something while words are found for something else finds no room, and makes some.
        let mut words = Words(ROOM.try_with(Cell::take).unwrap_or_default());
        _ = words.0.try_reclaim(PIECE); // from its beginning, where all of it is written
        event.record(&mut words);
        let Words(mut room) = words;
        let words = room.split().freeze();
        _ = ROOM.try_with(|place| place.set(room)); // the thread ends: the room goes with it
        Self {
            at,
            meta: event.metadata(),
            words,
        }
    }

    /// In a form to be written.
    pub(super) fn line(self) -> Line {
        let mut line = Line {
            at: self.at,
            level: *self.meta.level(),
            target: self.meta.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        let mut rest = self.words;
        while let (Ok(index), Ok(len)) = (rest.try_get_u32(), rest.try_get_u32()) {
            let [Ok(index), Ok(len)] = [index, len].map(usize::try_from) else {
                break;
            };
            let text = String::from_utf8_lossy(&rest.split_to(len.min(rest.len()))).into_owned();
            match self.meta.fields().iter().nth(index).map(|f| f.name()) {
                Some("message") => line.message = text,
                Some(name) => line.fields.push((name, text)),
                None => {}
            }
        }
        line
    }
}

/// An event in words: the values are made text at once, putting them together is the writer's.
struct Words(BytesMut);

impl Words {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let Self(room) = self;
        if room.capacity() - room.len() < LINE {
            room.reserve(PIECE.saturating_sub(room.len()).max(LINE));
        }
        let Ok(index) = u32::try_from(field.index()) else {
            return;
        };
        room.extend_from_slice(&index.to_be_bytes());
        let len_at = room.len();
        room.extend_from_slice(&[0; 4]);
        let from = room.len();
        _ = room.write_fmt(value); // as far as it can be formatted
        let len = u32::try_from(room.len() - from).unwrap_or(u32::MAX);
        room[len_at..from].copy_from_slice(&len.to_be_bytes());
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !field.name().starts_with("log.") {
            self.put(field, format_args!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Said>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("one thread").push(Said::new(event));
        }
    }

    #[test]
    fn words_stay_what_they_are_from_piece_to_piece() {
        let kept = Kept::default();
        let long = "x".repeat(PIECE * 2);
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(kept.clone()),
            || {
                for n in 0..2000 {
                    tracing::info!(n, text = %&long[..n % 700], "line {n}");
                }
                tracing::warn!(%long, "a long one");
            },
        );
        let said = std::mem::take(&mut *kept.0.lock().expect("one thread"));
        let mut lines = said.into_iter().map(Said::line);
        for n in 0..2000 {
            let line = lines.next().expect("a line");
            assert_eq!(line.message, format!("line {n}"));
            let text = long[..n % 700].to_owned();
            assert_eq!(line.fields, [("n", n.to_string()), ("text", text)]);
        }
        assert_eq!(lines.next().map(|l| l.fields), Some(vec![("long", long)]));
        assert!(lines.next().is_none());
    }

    #[test]
    fn a_piece_is_used_again_once_all_of_it_is_written() {
        let kept = Kept::default();
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(kept.clone()),
            || {
                let places: Vec<_> = (0..100)
                    .map(|n| {
                        tracing::info!("line {n}");
                        let said = kept.0.lock().expect("one thread").pop();
                        said.map(|said| said.words.as_ptr() as usize)
                    })
                    .collect();
                assert!(places[1..].iter().all(|place| *place == places[1]));
            },
        );
    }
}
