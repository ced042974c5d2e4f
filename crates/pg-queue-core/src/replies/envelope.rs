//! Several replies in one notification.
//!
//! A notification costs the server about as much whatever it carries, so that the replies to one inbox travel together, up to its
//! 7,999 bytes. Each is 16 digits, the half of the request's id that the channel does not say, and then either the status, the
//! length, a colon and the reply, or an `@:` for one that is too long and is to be fetched. No two are equal, so that the server
//! delivers each.

use std::{collections::HashMap, fmt::Write};

use super::{Reply, Status};
use crate::{Inbox, RequestId};

/// How much one notification carries; PostgreSQL's limit is 7,999.
const MOST_BYTES: usize = 7900;

/// What is longer than this is only announced.
const MOST_INLINE: usize = 7500;

/// The first characters of every notification: which way of writing it is.
const FORMAT: &str = "1 ";

/// A reply that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came<'n> {
    /// It came along.
    Inline(Status, &'n str),
    /// It is in the table: [`take`](super::take) has it.
    Stored,
}

/// Notifications that carry replies.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) channels: Vec<String>,
    pub(super) payloads: Vec<String>,
}

pub(super) fn pack(replies: &[Reply]) -> Packed {
    let mut packed = Packed::default();
    // For each inbox the notification that has room.
    let mut open = HashMap::<Inbox, usize>::new();
    for Reply { request, status, body } in replies {
        let inline = body.len() <= MOST_INLINE;
        let needed = 48 + if inline { body.len() } else { 0 };
        let inbox = request.inbox();
        let at = match open.get(&inbox) {
            Some(at) if packed.payloads[*at].len() + needed <= MOST_BYTES => *at,
            _ => {
                packed.channels.push(inbox.channel());
                packed.payloads.push(FORMAT.to_owned());
                packed.payloads.len() - 1
            }
        };
        open.insert(inbox, at);
        let (payload, id) = (&mut packed.payloads[at], request.within_inbox());
        let written = if inline {
            write!(payload, "{id:016x} {status} {}:{body}", body.len())
        } else {
            write!(payload, "{id:016x} @:")
        };
        written.expect("writing to a string cannot fail");
    }
    packed
}

/// The replies in a notification to `inbox`. `None` stands for what cannot be read, and ends it: another version wrote it, or
/// somebody else.
pub fn unpack(inbox: Inbox, payload: &str) -> impl Iterator<Item = Option<(RequestId, Came<'_>)>> {
    // What `store` sends: one request's whole id.
    let alone = payload.parse().ok().map(|id| Some((RequestId::from_uuid(id), Came::Stored)));
    let start = payload.strip_prefix(FORMAT);
    let mut rest = start.unwrap_or_default();
    let mut broken = alone.is_none() && start.is_none();
    let packed = std::iter::from_fn(move || {
        if std::mem::take(&mut broken) {
            return Some(None);
        }
        if rest.is_empty() {
            return None;
        }
        let Some((read, later)) = first(inbox, rest) else {
            rest = "";
            return Some(None);
        };
        rest = later;
        Some(Some(read))
    });
    alone.into_iter().chain(packed)
}

fn first(inbox: Inbox, text: &str) -> Option<((RequestId, Came<'_>), &str)> {
    let (id, rest) = text.split_once(' ')?;
    let request = RequestId::of(inbox, u64::from_str_radix(id, 16).ok()?);
    if let Some(rest) = rest.strip_prefix("@:") {
        return Some(((request, Came::Stored), rest));
    }
    let (status, rest) = rest.split_once(' ')?;
    let (length, rest) = rest.split_once(':')?;
    let (body, rest) = rest.split_at_checked(length.parse().ok()?)?;
    Some(((request, Came::Inline(Status::read(status), body)), rest))
}

#[cfg(test)]
mod tests {
    use super::{Came, MOST_INLINE, pack, unpack};
    use crate::{
        Inbox, RequestId,
        replies::{Reply, Status},
        topics::MAX_NOTIFY_BYTES,
    };

    fn reply(inbox: Inbox, body: impl Into<String>) -> Reply {
        Reply { request: RequestId::random(inbox), status: Status::Ok, body: body.into() }
    }

    #[test]
    fn what_was_packed_is_unpacked_in_its_order() {
        let (inbox, other) = (Inbox::random(), Inbox::random());
        let long = "x".repeat(MOST_INLINE);
        let bodies = ["1", "\"a b:c 5:x @: \\n\"", "{\"ä\":\"→\"}", "", "null", &long, &format!("{long}x"), &long];
        let mut replies: Vec<Reply> = bodies.iter().map(|body| reply(inbox, *body)).collect();
        replies[1].status = Status::Error;
        replies.insert(3, reply(other, "2"));
        let packed = pack(&replies);
        assert_eq!(packed.payloads.len(), 3);
        assert!(packed.payloads.iter().all(|payload| payload.len() <= MAX_NOTIFY_BYTES));
        for inbox in [inbox, other] {
            let sent = packed.channels.iter().zip(&packed.payloads).filter(|(channel, _)| **channel == inbox.channel());
            let read: Vec<_> = sent.flat_map(|(_, payload)| unpack(inbox, payload)).map(Option::unwrap).collect();
            let wanted: Vec<_> = replies.iter().filter(|reply| reply.request.inbox() == inbox).collect();
            assert_eq!(read.len(), wanted.len());
            for (reply, (request, came)) in wanted.into_iter().zip(read) {
                assert_eq!(reply.request, request);
                let inline = Came::Inline(reply.status, &reply.body);
                assert_eq!(came, if reply.body.len() > MOST_INLINE { Came::Stored } else { inline });
            }
        }
    }

    #[test]
    fn a_request_id_alone_announces_what_is_stored() {
        let (inbox, request) = (Inbox::random(), RequestId::random(Inbox::random()));
        let announced = request.to_string();
        let read: Vec<_> = unpack(inbox, &announced).collect();
        assert_eq!(read, [Some((request, Came::Stored))]);
    }

    #[test]
    fn what_cannot_be_read_is_said_once() {
        for payload in ["", "2 x", "1 zz ok 1:x", "1 0000000000000001 ok x:y", "1 0000000000000001 ok 1:ä"] {
            assert_eq!(unpack(Inbox::random(), payload).collect::<Vec<_>>(), [None], "{payload}");
        }
    }

    #[test]
    fn a_status_of_a_later_version_is_none_of_ours() {
        let inbox = Inbox::random();
        let read: Vec<_> = unpack(inbox, "1 0000000000000001 redirected 1:x").collect();
        assert_eq!(read, [Some((RequestId::of(inbox, 1), Came::Inline(Status::Unknown, "x")))]);
    }
}
