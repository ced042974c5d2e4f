//! Where somebody was in a distributed trace: the W3C's Trace Context, carried by a job's metadata.

use serde_json::{Map, Value};

/// The keys under which metadata carries it, named as the headers of HTTP are.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The standard lets a vendor drop what is longer.
const MAX_TRACESTATE_BYTES: usize = 512;

/// A position in a distributed trace, as the W3C's Trace Context writes it. A job carries that of its enqueuer in its
/// metadata, under `traceparent` and `tracestate`, so that whoever runs it can go on with the trace.
///
/// ```
/// use pg_queue_core::TraceContext;
///
/// let here = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
/// assert_eq!(here.traceparent(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
/// # Ok::<(), pg_queue_core::InvalidTraceContext>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
}

impl TraceContext {
    /// Checks the value of a `traceparent`: version, trace id, span id and flags in lower-case hexadecimal, with `-` between
    /// them.
    ///
    /// # Errors
    /// It has another form, or one of its ids is zero.
    pub fn new(traceparent: impl Into<String>) -> Result<Self, InvalidTraceContext> {
        let traceparent = traceparent.into();
        if is_traceparent(&traceparent) { Ok(Self { traceparent, tracestate: None }) } else { Err(InvalidTraceContext) }
    }

    /// With what vendors have to say. What is longer than 512 bytes, or empty, is left out, as the standard allows.
    #[must_use]
    pub fn with_tracestate(mut self, tracestate: impl Into<String>) -> Self {
        let tracestate = tracestate.into();
        self.tracestate = (1..=MAX_TRACESTATE_BYTES).contains(&tracestate.len()).then_some(tracestate);
        self
    }

    /// The value of `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The value of `tracestate`, if there is one.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// What a job's metadata carries of it; what is not well-formed is none.
    #[must_use]
    pub fn from_metadata(metadata: &Map<String, Value>) -> Option<Self> {
        let context = Self::new(metadata.get(TRACEPARENT)?.as_str()?).ok()?;
        Some(match metadata.get(TRACESTATE).and_then(Value::as_str) {
            Some(state) => context.with_tracestate(state),
            None => context,
        })
    }

    /// Writes it into a job's metadata.
    pub(crate) fn write(self, metadata: &mut Map<String, Value>) {
        metadata.insert(TRACEPARENT.to_owned(), self.traceparent.into());
        match self.tracestate {
            Some(state) => metadata.insert(TRACESTATE.to_owned(), state.into()),
            None => metadata.remove(TRACESTATE),
        };
    }
}

fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &str, length| hex(part, length) && part.bytes().any(|b| b != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        ["00", trace, span, flags] => id(trace, 32) && id(span, 16) && hex(flags, 2),
        // A later version may have more behind what this one has. `ff` is none.
        [version, trace, span, flags, ..] if version != "00" && version != "ff" => {
            hex(version, 2) && id(trace, 32) && id(span, 16) && hex(flags, 2)
        }
        _ => false,
    }
}

/// A trace context that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a traceparent of the W3C: it looks like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, and neither id is zero"
)]
pub struct InvalidTraceContext;

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::TraceContext;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_allows_is_taken_and_nothing_else() {
        for good in [GOOD, "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later"] {
            assert_eq!(TraceContext::new(good).unwrap().traceparent(), good);
        }
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert!(TraceContext::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_comes_back_from_metadata_as_it_went_in() {
        let mut metadata = Map::new();
        let context = TraceContext::new(GOOD).unwrap().with_tracestate("vendor=1");
        context.clone().write(&mut metadata);
        assert_eq!(TraceContext::from_metadata(&metadata), Some(context));
        // One that has no state does not go on with that of another.
        TraceContext::new(GOOD).unwrap().write(&mut metadata);
        assert_eq!(TraceContext::from_metadata(&metadata).unwrap().tracestate(), None);
        metadata.insert("traceparent".to_owned(), 17.into());
        assert_eq!(TraceContext::from_metadata(&metadata), None);
    }
}
