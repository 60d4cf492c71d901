//! The developer's log: what the program did on the way, for whoever asks with `--verbose` or for the debug log of a run.
//!
//! Code says it with `tracing::debug!`; nothing listens otherwise. A line is masked like every other, and never a command.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::github::runner;
use crate::state::secrets::Secrets;

struct Journal {
    secrets: Secrets,
}

/// Begins to listen, for the rest of the process.
pub fn begin() {
    // Somebody who listens already hears the same.
    let _ = tracing::subscriber::set_global_default(Journal { secrets: Secrets::of_environment() });
}

impl Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries write down headers and addresses, and so what is in them.
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("rekindle")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().trim_start_matches("rekindle::").to_owned());
        event.record(&mut line);
        let text = self.secrets.mask(&runner::plain_line(&line.0));
        // Nobody is left to tell when this fails.
        let _ = if runner::is_step() {
            writeln!(std::io::stdout().lock(), "{}", runner::debug(&text))
        } else {
            writeln!(std::io::stderr().lock(), "debug: {text}")
        };
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The room that speaks, what it says, and the values behind it.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, ": {value:?}"),
            name => write!(self.0, ", {name} {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, ", {} {value}", field.name());
    }
}
