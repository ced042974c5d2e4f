//! Several messages in one notification.
//!
//! A notification costs the server about as much whatever it carries, so that messages travel together, up to its 7,999
//! bytes. A line of its own comes first, with random digits: of two equal notifications in one transaction the server delivers
//! only one. Then each message: its topic, a space, and either its length, a colon and itself, or an `@`, the number under which
//! it is stored, and a colon. If it has attributes, a comma and their length stand before the colon, and they themselves, as JSON,
//! at the end. What is published from SQL is written by `pg_queue_publish`.

use std::fmt::Write;

use super::{Attributes, Message, server_channel};
use crate::Schema;

/// How many channels the topics of a schema are divided among, by their first word. A process hears all of a channel.
const CHANNELS: u32 = 16;

/// How much one notification carries; PostgreSQL's limit is 7,999.
const MOST_BYTES: usize = 7900;

/// What is longer than this, attributes included, is stored, and only its number and the attributes are sent.
const MOST_INLINE: usize = 7500;

/// The first characters of every notification: which way of writing it is.
const FORMAT: &str = "1 ";

/// A message that was received, as its notification has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried<'n> {
    /// Where it was sent to: a topic, unless somebody else has sent it.
    pub topic: &'n str,
    /// What it says.
    pub body: Body<'n>,
    attributes: &'n str,
}

impl Carried<'_> {
    /// Its attributes; `None` when they cannot be read.
    #[must_use]
    pub fn attributes(&self) -> Option<Attributes> {
        if self.attributes.is_empty() { Some(Attributes::new()) } else { serde_json::from_str(self.attributes).ok() }
    }
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
    for message in messages {
        let Message { topic, body, .. } = message;
        let attributes = message.attributes_json();
        let number = number_of(topic.as_str());
        let inline = body.len() + attributes.len() <= MOST_INLINE;
        let needed = topic.as_str().len() + 32 + attributes.len() + if inline { body.len() } else { 0 };
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
            write!(payload, "{topic} {}", body.len())
        } else {
            let id = rand::random();
            packed.stored.push(id);
            packed.bodies.push(body.clone());
            write!(payload, "{topic} @{id}")
        };
        let written = written.and_then(|()| match attributes.len() {
            0 => payload.write_char(':'),
            length => write!(payload, ",{length}:"),
        });
        written.expect("writing to a string cannot fail");
        if inline {
            payload.push_str(body);
        }
        payload.push_str(&attributes);
    }
    packed
}

/// The messages in a notification. `None` stands for what cannot be read, and ends it: another version wrote it, or somebody else.
pub fn unpack(payload: &str) -> impl Iterator<Item = Option<Carried<'_>>> {
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

fn first(text: &str) -> Option<(Carried<'_>, &str)> {
    let (topic, rest) = text.split_once(' ')?;
    let (numbers, rest) = rest.split_once(':')?;
    let (number, length) = match numbers.split_once(',') {
        Some((number, length)) => (number, length.parse().ok()?),
        None => (numbers, 0),
    };
    let (body, rest) = match number.strip_prefix('@') {
        Some(id) => (Body::Stored(id.parse().ok()?), rest),
        None => {
            let (body, rest) = rest.split_at_checked(number.parse().ok()?)?;
            (Body::Inline(body), rest)
        }
    };
    let (attributes, rest) = rest.split_at_checked(length)?;
    Some((Carried { topic, body, attributes }, rest))
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
    use super::{Body, CHANNELS, MOST_INLINE, Packed, channels, number_of, pack, unpack};
    use crate::{
        Schema,
        topics::{MAX_ATTRIBUTES_BYTES, MAX_NOTIFY_BYTES, Message, Topic, TopicPattern},
    };

    fn message(topic: &str, body: impl Into<String>) -> Message {
        Message { topic: Topic::new(topic).unwrap(), body: body.into(), attributes: [].into(), trace_context: None }
    }

    #[test]
    fn what_was_packed_is_unpacked_in_its_order() {
        let bodies = ["1", "\"a b:c 5:x\\n\"", "{\"ä\":\"→\"}", "", "null"];
        let mut messages: Vec<Message> = bodies.iter().map(|body| message("orders.eu", *body)).collect();
        messages.push(message("orders.us", "x".repeat(MOST_INLINE)));
        messages.push(message("orders.us", "y".repeat(MOST_INLINE + 1)));
        messages.push(message("orders.us", "z".repeat(MOST_INLINE)));
        let packed = pack(&Schema::default(), &messages);
        assert_eq!((packed.payloads.len(), packed.stored.len()), (2, 1));
        assert_unpacks(&messages, &packed);
    }

    #[test]
    fn attributes_travel_with_their_message_whatever_its_length() {
        let with = |length: usize, attributes: &[(&str, &str)]| {
            let attributes =
                attributes.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
            Message { attributes, ..message("orders.eu", "x".repeat(length)) }
        };
        let longest = "v".repeat(MAX_ATTRIBUTES_BYTES - r#"{"n":""}"#.len());
        let messages = [
            with(3, &[("country", "at"), ("ä,:\"", "}7:")]),
            with(0, &[("n", &longest)]),
            with(MOST_INLINE - MAX_ATTRIBUTES_BYTES, &[("n", &longest)]),
            with(MOST_INLINE - MAX_ATTRIBUTES_BYTES + 1, &[("n", &longest)]),
            with(4, &[]),
        ];
        let packed = pack(&Schema::default(), &messages);
        assert_eq!(packed.stored.len(), 1);
        assert_unpacks(&messages, &packed);
    }

    /// What was stored is the first of them that was.
    fn assert_unpacks(messages: &[Message], packed: &Packed) {
        assert!(packed.payloads.iter().all(|payload| payload.len() <= MAX_NOTIFY_BYTES));
        let read: Vec<_> = packed.payloads.iter().flat_map(|payload| unpack(payload)).map(Option::unwrap).collect();
        assert_eq!(read.len(), messages.len());
        for (message, carried) in messages.iter().zip(read) {
            assert_eq!(message.topic.as_str(), carried.topic);
            assert_eq!(carried.attributes().as_ref(), Some(&message.attributes));
            match carried.body {
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
        for (payload, good) in [
            ("", 0),
            ("2 00\na 1:x", 0),
            ("1 00\na 1:xa 5:x", 1),
            ("1 00\na x:y", 0),
            ("1 0\na 1:ä", 0),
            ("1 0\na 1,9:x{}", 0),
        ] {
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
