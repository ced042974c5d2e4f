//! Payloads that are not what their consumer expects.

use pg_queue_client::PopError;

use crate::support::database;

const BACK: &str = "select count(*) from queue_work
    where lease_token is null and attempt = 0 and jsonb_array_length(errors) = 1 and run_at > now() + interval '50 s'";

#[tokio::test]
async fn an_undecodable_job_goes_back_with_its_error_and_is_not_counted() {
    let db = database().await;
    let work = db.queue("work").await;
    let id = db.mgr.queue.push(&work, &"not a number").await.unwrap();
    let error = db.mgr.queue.pop::<u32>(&work).await.unwrap_err();
    let PopError::Undecodable(undecodable) = &error else { panic!("{error}") };
    assert_eq!(undecodable.job_id(), id);
    let message = error.to_string();
    assert!(message.contains(&format!("job {id}")) && message.contains("expected u32"), "{message}");
    assert_eq!(db.count(BACK).await, 1);
}

#[tokio::test]
async fn the_others_of_a_batch_are_not_affected() {
    let db = database().await;
    let work = db.queue("work").await;
    for n in 0..9 {
        if n % 3 == 1 {
            db.mgr.queue.push(&work, &"not a number").await.unwrap();
        } else {
            db.mgr.queue.push(&work, &n).await.unwrap();
        }
    }
    let jobs = db.mgr.queue.pop_many::<u32>(&work, 9).await.unwrap();
    let decoded: Vec<Option<u32>> = jobs.iter().map(|job| job.as_ref().ok().map(|job| job.payload)).collect();
    assert_eq!(decoded, [Some(0), None, Some(2), Some(3), None, Some(5), Some(6), None, Some(8)]);
    for job in jobs.into_iter().flatten() {
        db.mgr.queue.complete(&work, job.id).await.unwrap();
    }
    assert_eq!(db.count(BACK).await, 3);
    assert!(db.mgr.queue.pop::<u32>(&work).await.unwrap().is_none());
}

#[tokio::test]
async fn another_consumer_gets_what_the_first_could_not_decode() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push(&work, &"text").await.unwrap();
    db.mgr.queue.pop::<u32>(&work).await.unwrap_err();
    sqlx::query("update queue_work set run_at = now()").execute(&db.pool).await.unwrap();
    let job = db.mgr.queue.pop::<String>(&work).await.unwrap().unwrap();
    assert_eq!((job.payload.as_str(), job.id.attempt()), ("text", 1));
    db.mgr.queue.complete(&work, job.id).await.unwrap();
}
