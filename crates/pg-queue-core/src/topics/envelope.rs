//! Several messages in one notification.
//!
//! A notification costs the server about as much whatever it carries, so that messages travel together, up to its 7,999
//! bytes. A line of its own comes first, with random digits: of two equal notifications in one transaction the server delivers
//! only one. Then each message: its topic, a space, and either its length, a colon and itself, or an `@`, the number under which
//! it is stored, and a colon.

use std::fmt::Write;

use super::{Topic, server_channel};
use crate::Schema;

/// How many channels the topics of a schema are divided among, by their first word. A process hears all of a channel.
const CHANNELS: u32 = 16;

/// How much one notification carries; PostgreSQL's limit is 7,999.
const MOST_BYTES: usize = 7900;

/// What is longer than this is stored, and only its number is sent.
const MOST_INLINE: usize = 7500;

/// The first characters of every notification: which way of writing it is.
const FORMAT: &str = "1 ";

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// What it says, as JSON.
    pub body: String,
}

/// The body of a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'n> {
    /// It came along.
    Inline(&'n str),
    /// It is stored under this number: [`fetch`](super::fetch) has it.
    Stored(i64),
}

/// Notifications that carry messages, and what is stored beside them.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) channels: Vec<String>,
    pub(super) payloads: Vec<String>,
    pub(super) stored: Vec<i64>,
    pub(super) bodies: Vec<String>,
}

/// Puts messages into notifications, those of each topic in their order.
pub(super) fn pack(schema: &Schema, messages: &[Message]) -> Packed {
    let mut packed = Packed::default();
    // For each channel the notification that has room.
    let mut open: [Option<usize>; CHANNELS as usize] = [None; CHANNELS as usize];
    for Message { topic, body } in messages {
        let number = number_of(topic.as_str());
        let inline = body.len() <= MOST_INLINE;
        let needed = topic.as_str().len() + 24 + if inline { body.len() } else { 0 };
        let place = &mut open[number as usize];
        let at = match *place {
            Some(at) if packed.payloads[at].len() + needed <= MOST_BYTES => at,
            _ => {
                packed.channels.push(channel(schema, number));
                packed.payloads.push(format!("{FORMAT}{:016x}\n", rand::random::<u64>()));
                packed.payloads.len() - 1
            }
        };
        *place = Some(at);
        let payload = &mut packed.payloads[at];
        let written = if inline {
            write!(payload, "{topic} {}:{body}", body.len())
        } else {
            let id = rand::random();
            packed.stored.push(id);
            packed.bodies.push(body.clone());
            write!(payload, "{topic} @{id}:")
        };
        written.expect("writing to a string cannot fail");
    }
    packed
}

/// The messages in a notification: the topic and the body of each. `None` stands for what cannot be read, and ends it: another
/// version wrote it, or somebody else.
pub fn unpack(payload: &str) -> impl Iterator<Item = Option<(&str, Body<'_>)>> {
    let start = payload.strip_prefix(FORMAT).and_then(|rest| rest.split_once('\n'));
    let mut rest = start.map(|(_, rest)| rest);
    let mut broken = rest.is_none();
    std::iter::from_fn(move || {
        if std::mem::take(&mut broken) {
            return Some(None);
        }
        let text = rest.filter(|text| !text.is_empty())?;
        let Some((read, later)) = first(text) else {
            rest = None;
            return Some(None);
        };
        rest = Some(later);
        Some(Some(read))
    })
}

fn first(text: &str) -> Option<((&str, Body<'_>), &str)> {
    let (topic, rest) = text.split_once(' ')?;
    let (number, rest) = rest.split_once(':')?;
    if let Some(id) = number.strip_prefix('@') {
        return Some(((topic, Body::Stored(id.parse().ok()?)), rest));
    }
    let (body, rest) = rest.split_at_checked(number.parse().ok()?)?;
    Some(((topic, Body::Inline(body)), rest))
}

/// The channels, by the server's names, on which messages for this pattern come.
#[must_use]
pub fn channels(schema: &Schema, pattern: &super::TopicPattern) -> Vec<String> {
    match pattern.as_str().split('.').next() {
        Some("*" | ">") => (0..CHANNELS).map(|number| channel(schema, number)).collect(),
        _ => vec![channel(schema, number_of(pattern.as_str()))],
    }
}

fn channel(schema: &Schema, number: u32) -> String {
    let name = format!("pg_queue.topics.{schema}.{number}");
    server_channel(&name).expect("it is neither empty nor has it a NUL").into_owned()
}

/// Which channel a topic goes to. The same in all versions: FNV-1a of the first word.
fn number_of(topic: &str) -> u32 {
    let word = topic.split('.').next().unwrap_or_default();
    word.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % CHANNELS
}

#[cfg(test)]
mod tests {
    use super::{Body, CHANNELS, MOST_INLINE, Message, channels, number_of, pack, unpack};
    use crate::{
        Schema,
        topics::{MAX_NOTIFY_BYTES, Topic, TopicPattern},
    };

    fn message(topic: &str, body: impl Into<String>) -> Message {
        Message { topic: Topic::new(topic).unwrap(), body: body.into() }
    }

    #[test]
    fn what_was_packed_is_unpacked_in_its_order() {
        let bodies = ["1", "\"a b:c 5:x\\n\"", "{\"ä\":\"→\"}", "", "null"];
        let mut messages: Vec<Message> = bodies.iter().map(|body| message("orders.eu", *body)).collect();
        messages.push(message("orders.us", "x".repeat(MOST_INLINE)));
        messages.push(message("orders.us", "y".repeat(MOST_INLINE + 1)));
        messages.push(message("orders.us", "z".repeat(MOST_INLINE)));
        let packed = pack(&Schema::default(), &messages);
        assert!(packed.payloads.iter().all(|payload| payload.len() <= MAX_NOTIFY_BYTES));
        assert_eq!((packed.payloads.len(), packed.stored.len()), (2, 1));
        let read: Vec<_> = packed.payloads.iter().flat_map(|payload| unpack(payload)).map(Option::unwrap).collect();
        assert_eq!(read.len(), messages.len());
        for (message, (topic, body)) in messages.iter().zip(read) {
            assert_eq!(message.topic.as_str(), topic);
            match body {
                Body::Inline(body) => assert_eq!(body, message.body),
                Body::Stored(id) => assert_eq!((id, &message.body), (packed.stored[0], &packed.bodies[0])),
            }
        }
    }

    #[test]
    fn equal_notifications_differ() {
        let one = pack(&Schema::default(), &[message("a", "1")]);
        assert_ne!(one.payloads, pack(&Schema::default(), &[message("a", "1")]).payloads);
    }

    #[test]
    fn what_cannot_be_read_is_said_once() {
        for (payload, good) in
            [("", 0), ("2 00\na 1:x", 0), ("1 00\na 1:xa 5:x", 1), ("1 00\na x:y", 0), ("1 0\na 1:ä", 0)]
        {
            let read: Vec<_> = unpack(payload).collect();
            assert_eq!(read.len(), good + 1, "{payload}");
            assert!(read[good].is_none() && read[..good].iter().all(Option::is_some), "{payload}");
        }
    }

    #[test]
    fn a_pattern_hears_the_channel_of_what_it_matches() {
        let schema = Schema::new(&"s".repeat(48)).unwrap();
        let sent = pack(&schema, &[message("orders.eu.created", "1")]).channels;
        for pattern in ["orders.eu.created", "orders.>", "orders.*.created", "*.eu.created", ">"] {
            let heard = channels(&schema, &TopicPattern::new(pattern).unwrap());
            assert!(heard.contains(&sent[0]), "{pattern}");
            assert!(heard.iter().all(|channel| channel.len() <= 63));
        }
        let used: std::collections::HashSet<u32> = (0..1000).map(|n| number_of(&format!("topic{n}.x"))).collect();
        assert_eq!(used.len(), CHANNELS as usize);
    }
}
