//! Replies on their way to the caller.

use std::time::Duration;

use pg_queue_core::{
    Inbox, RequestId,
    replies::{self, Reply, Status, StoreReplyError},
};
use serde_json::json;
use sqlx::postgres::PgListener;

use crate::support::{LONG, database};

fn response(request: RequestId, body: &str) -> Reply {
    Reply { request, status: Status::Ok, body: body.to_owned() }
}

#[tokio::test]
async fn a_reply_is_taken_once_and_its_callers_inbox_is_rung() {
    let db = database().await;
    let inbox = Inbox::random();
    let mut listener = PgListener::connect_with(&db.pool).await.unwrap();
    listener.listen(&inbox.channel()).await.unwrap();
    let (answered, open) = (RequestId::random(inbox), RequestId::random(inbox));
    assert_eq!((answered.inbox(), RequestId::from_uuid(answered.as_uuid())), (inbox, answered));
    replies::store(&db.pool, &db.schema, answered, &json!({"ok": "nul \0 too"}), LONG).await.unwrap();
    let rung = listener.recv().await.unwrap();
    assert_eq!((rung.channel(), rung.payload()), (inbox.channel().as_str(), answered.to_string().as_str()));
    let taken = replies::take(&db.pool, &db.schema, &[open, answered]).await.unwrap();
    assert_eq!(taken, [response(answered, r#"{"ok":"nul \u0000 too"}"#)]);
    assert!(replies::take(&db.pool, &db.schema, &[open, answered]).await.unwrap().is_empty());
    assert!(replies::take(&db.pool, &db.schema, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn all_replies_to_an_inbox_are_taken_and_no_others() {
    let db = database().await;
    let (inbox, other) = (Inbox::random(), RequestId::random(Inbox::random()));
    let mine: Vec<RequestId> = (0..1500).map(|_| RequestId::random(inbox)).collect();
    let replies: Vec<Reply> = mine.iter().chain([&other]).map(|request| response(*request, "1")).collect();
    replies::send(&db.pool, &db.schema, &replies, LONG).await.unwrap();
    let mut taken = Vec::new();
    for most in [1000, 500, 0] {
        let more = replies::take_all(&db.pool, &db.schema, inbox).await.unwrap();
        assert_eq!(more.len(), most);
        taken.extend(more.into_iter().map(|reply| reply.request.as_uuid()));
    }
    let mut mine: Vec<_> = mine.into_iter().map(RequestId::as_uuid).collect();
    taken.sort_unstable();
    mine.sort_unstable();
    assert_eq!(taken, mine);
    assert_eq!(replies::take(&db.pool, &db.schema, &[other]).await.unwrap(), [response(other, "1")]);
}

#[tokio::test]
async fn of_two_that_take_at_once_one_gets_the_reply() {
    let db = database().await;
    for _ in 0..20 {
        let request = RequestId::random(Inbox::random());
        replies::store(&db.pool, &db.schema, request, &1, LONG).await.unwrap();
        let ids = [request];
        let (one, two) =
            tokio::join!(replies::take(&db.pool, &db.schema, &ids), replies::take(&db.pool, &db.schema, &ids));
        assert_eq!(one.unwrap().len() + two.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_second_reply_replaces_the_first() {
    let db = database().await;
    let request = RequestId::random(Inbox::random());
    replies::store(&db.pool, &db.schema, request, &1, LONG).await.unwrap();
    replies::store(&db.pool, &db.schema, request, &2, LONG).await.unwrap();
    assert_eq!(replies::take(&db.pool, &db.schema, &[request]).await.unwrap(), [response(request, "2")]);
}

#[tokio::test]
async fn replies_that_nobody_fetched_are_thrown_away_after_their_time() {
    let db = database().await;
    let (late, fresh) = (RequestId::random(Inbox::random()), RequestId::random(Inbox::random()));
    replies::store(&db.pool, &db.schema, late, &1, Duration::ZERO).await.unwrap();
    replies::store(&db.pool, &db.schema, fresh, &2, LONG).await.unwrap();
    replies::prune(&db.pool, &db.schema).await.unwrap();
    assert_eq!(replies::take(&db.pool, &db.schema, &[late, fresh]).await.unwrap(), [response(fresh, "2")]);
}

#[tokio::test]
async fn a_reply_of_more_than_16_mib_is_refused_before_it_is_sent() {
    let db = database().await;
    let request = RequestId::random(Inbox::random());
    let stored = replies::store(&db.pool, &db.schema, request, &"a".repeat((16 << 20) - 1), LONG).await;
    assert!(matches!(stored, Err(StoreReplyError::TooLarge { bytes: 16_777_217 })));
}
