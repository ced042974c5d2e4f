//! Asserting what is enqueued, where the test stands that wants it: a failure names the test's own line.

/// Asserts that jobs are enqueued, and answers them as a `Vec<`[`Enqueued`](crate::testing::Enqueued)`>`: unfinished jobs of
/// the type, in whichever queue, under its kind or one of the aliases.
///
/// It awaits, so it stands in an `async` function. First comes the place where to look: a handle (all that is committed), or
/// `mgr.on(&mut tx)` for what the test's open transaction has enqueued. Then, if it matters, how many there must be; without
/// a number it is one or more. Then what they are: a payload, a type, or a type with a condition.
///
/// ```no_run
/// # use pg_queue_client::{PgQueue, testing::assert_enqueued};
/// # use pg_queue_core::{Job, Priority};
/// # #[derive(serde::Serialize, serde::Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct SendEmail { to: String, subject: String }
/// # async fn example(mgr: PgQueue, mut tx: sqlx::Transaction<'_, sqlx::Postgres>) {
/// // with this payload
/// assert_enqueued!(&mgr, SendEmail { to: "ada@example.com".into(), subject: "hello".into() });
/// // with a payload that fits
/// assert_enqueued!(&mgr, SendEmail, |email| email.to.starts_with("ada"));
/// // and whose job fits as well
/// assert_enqueued!(&mgr, SendEmail, |email, job| email.to.starts_with("ada") && job.priority == Priority::HIGHEST);
/// // with any payload, in the transaction
/// assert_enqueued!(mgr.on(&mut tx), SendEmail);
/// // three of them
/// assert_enqueued!(&mgr, 3, SendEmail, |email| email.subject == "hello");
/// // with the payload in a variable: a name alone would be taken for a type
/// let wanted = SendEmail { to: "grace@example.com".into(), subject: "hello".into() };
/// let jobs = assert_enqueued!(&mgr, 1, &wanted);
/// assert_eq!(jobs[0].tags, ["greeting"]);
/// # }
/// ```
///
/// Payloads are the same if they are the same JSON when the type writes them. For a closure that needs more than one
/// expression there is `|email| { .. }`.
///
/// # Panics
/// There are not so many; the message lists what there is instead, with payloads. Or the database failed.
#[macro_export]
macro_rules! assert_enqueued {
    // A type, with a condition or without. As names and not as `$job:ty`, which would refuse what only looks like a type.
    ($place:expr, $($job:ident)::+ $(, |$payload:pat_param $(, $about:pat_param)? $(,)?| $fits:expr)? $(,)?) => {
        $crate::__enqueued!(
            assert_enqueued, $place, $crate::testing::wanted::Count::Some,
            [$($job)::+] $(|$payload $(, $about)?| $fits)?
        )
    };
    ($place:expr, $($job:ident)::+ { .. } $(,)?) => {
        $crate::assert_enqueued!($place, $($job)::+)
    };
    ($place:expr, &$job:expr $(,)?) => {
        $crate::__enqueued!(assert_enqueued, $place, $crate::testing::wanted::Count::Some, = $job)
    };
    ($place:expr, $job:expr $(,)?) => {
        $crate::__enqueued!(assert_enqueued, $place, $crate::testing::wanted::Count::Some, = $job)
    };
    // The same with a number before it.
    ($place:expr, $count:expr, $($job:ident)::+ $(, |$payload:pat_param $(, $about:pat_param)? $(,)?| $fits:expr)? $(,)?) => {
        $crate::__enqueued!(
            assert_enqueued, $place, $crate::testing::wanted::Count::Exactly($count),
            [$($job)::+] $(|$payload $(, $about)?| $fits)?
        )
    };
    ($place:expr, $count:expr, $($job:ident)::+ { .. } $(,)?) => {
        $crate::assert_enqueued!($place, $count, $($job)::+)
    };
    ($place:expr, $count:expr, &$job:expr $(,)?) => {
        $crate::__enqueued!(assert_enqueued, $place, $crate::testing::wanted::Count::Exactly($count), = $job)
    };
    ($place:expr, $count:expr, $job:expr $(,)?) => {
        $crate::__enqueued!(assert_enqueued, $place, $crate::testing::wanted::Count::Exactly($count), = $job)
    };
}

/// Asserts that no such job is enqueued. What may stand there is what [`assert_enqueued!`] takes, but for the number.
///
/// ```no_run
/// # use pg_queue_client::{PgQueue, testing::refute_enqueued};
/// # use pg_queue_core::Job;
/// # #[derive(serde::Serialize, serde::Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct SendEmail { to: String, subject: String }
/// # async fn example(mgr: PgQueue) {
/// refute_enqueued!(&mgr, SendEmail);
/// refute_enqueued!(&mgr, SendEmail, |email| email.to.ends_with("@example.com"));
/// # }
/// ```
///
/// # Panics
/// There is one; the message lists it, with its payload. Or the database failed.
#[macro_export]
macro_rules! refute_enqueued {
    ($place:expr, $($job:ident)::+ $(, |$payload:pat_param $(, $about:pat_param)? $(,)?| $fits:expr)? $(,)?) => {
        ::core::mem::drop($crate::__enqueued!(
            refute_enqueued, $place, $crate::testing::wanted::Count::Exactly(0),
            [$($job)::+] $(|$payload $(, $about)?| $fits)?
        ))
    };
    ($place:expr, $($job:ident)::+ { .. } $(,)?) => {
        $crate::refute_enqueued!($place, $($job)::+)
    };
    ($place:expr, &$job:expr $(,)?) => {
        ::core::mem::drop($crate::__enqueued!(refute_enqueued, $place, $crate::testing::wanted::Count::Exactly(0), = $job))
    };
    ($place:expr, $job:expr $(,)?) => {
        ::core::mem::drop($crate::__enqueued!(refute_enqueued, $place, $crate::testing::wanted::Count::Exactly(0), = $job))
    };
}

/// What both become. Written so that a variable in a type's place is said to be no type, and not to be no constant.
#[doc(hidden)]
#[macro_export]
macro_rules! __enqueued {
    ($name:ident, $place:expr, $count:expr, [$job:path]) => {
        $crate::__enqueued!($name, $place, $count; $crate::testing::wanted::any(::core::marker::PhantomData::<fn() -> $job>))
    };
    ($name:ident, $place:expr, $count:expr, [$job:path] |$payload:pat_param $(, $about:pat_param)?| $fits:expr) => {
        $crate::__enqueued!(
            $name, $place, $count;
            $crate::testing::wanted::that(
                ::core::marker::PhantomData::<fn() -> $job>,
                concat!(" that fit |", stringify!($payload) $(, ", ", stringify!($about))?, "| ", stringify!($fits)),
                |enqueued| {
                    let $payload = &enqueued.payload;
                    $(let $about = enqueued;)?
                    $fits
                },
            )
        )
    };
    ($name:ident, $place:expr, $count:expr, = $job:expr) => {
        $crate::__enqueued!($name, $place, $count; $crate::testing::wanted::same(&$job))
    };
    ($name:ident, $place:expr, $count:expr; $wanted:expr) => {
        match {
            let wanted = $wanted;
            // On its own, so that a place which is none is one mistake and not three.
            let looking = wanted.look($place);
            wanted.find($count, looking).await
        } {
            ::core::result::Result::Ok(jobs) => jobs,
            ::core::result::Result::Err(told) => ::core::panic!("{}! failed: {told}", stringify!($name)),
        }
    };
}
