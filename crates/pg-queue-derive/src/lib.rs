//! The derive macro of pg-queue: `#[derive(Job)]`. Depend on `pg-queue`, which exports it.
//!
//! In four phases: `attr` reads the tokens, `ast` holds what was read and what it means, `valid` judges it, `expand`
//! writes the code. Mistakes are gathered in `errors` and reported together.
#![forbid(unsafe_code)]

mod ast;
mod attr;
mod backoff;
mod case;
mod duration;
mod errors;
mod expand;
mod key;
mod valid;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `Job` for a struct, so that it can be enqueued and handled by type.
///
/// The struct may have named fields, numbered fields or none, but no type, lifetime or const parameters. It must be
/// `Serialize` and `Deserialize` (derive both from serde) and `Send`.
///
/// ```
/// use std::time::Duration;
///
/// use pg_queue::{Backoff, Job};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Job)]
/// #[job(queue = "emails", max_attempts = 5, timeout = "30s", backoff = "exponential(1s, max = 10m)")]
/// struct SendEmail {
///     to: String,
///     subject: String,
/// }
///
/// assert_eq!(SendEmail::KIND, "send_email");
/// assert_eq!(SendEmail::QUEUE, "emails");
/// assert_eq!(SendEmail::MAX_ATTEMPTS, 5);
/// assert_eq!(SendEmail::TIMEOUT, Some(Duration::from_secs(30)));
/// assert_eq!(
///     SendEmail::BACKOFF,
///     Backoff::Exponential { base: Duration::from_secs(1), max: Duration::from_secs(600) }
/// );
/// ```
///
/// # Keys
///
/// All are optional. `#[job(..)]` may stand on a struct several times, each key only once.
///
/// | key | value | default |
/// |---|---|---|
/// | `kind = "send_email"` | the name under which jobs are stored: 1 to 100 bytes, no control characters | the struct's name in `snake_case` |
/// | `aliases = ["old_name"]` | earlier kinds whose stored jobs this struct still runs; the rules of `kind` | none |
/// | `queue = "emails"` | the queue: `[a-z][a-z0-9_]*`, at most 48 bytes | `default` |
/// | `priority = 3` | 0 to 9; 0 runs first | 5 |
/// | `max_attempts = 5` | 1 to 32767, the first attempt included | 20 |
/// | `timeout = "30s"` | how long one attempt may run: a duration above zero, or `"none"` for no limit | 30 minutes |
/// | `backoff = "linear(5s)"` | how long a failed attempt waits for the next one, see below | `exponential(1s, max = 1h)` |
/// | `crate = "my_crate::pg_queue"` | the path under which the generated code finds this library | `::pg_queue` |
///
/// A **kind** is stored with each job, so renaming the struct orphans the jobs that wait under the old name. Give the
/// old kind as an alias, or keep it with `kind`. In `snake_case` a run of capitals is one word (`SendHTTPRequest` is
/// `send_http_request`) and digits end a word (`Sha256Sum` is `sha256_sum`).
///
/// ```
/// # use pg_queue::Job;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, Job)]
/// #[job(aliases = ["send_email"])]
/// struct SendWelcomeEmail {
///     to: String,
/// }
///
/// assert_eq!(SendWelcomeEmail::KIND, "send_welcome_email");
/// assert_eq!(SendWelcomeEmail::ALIASES, ["send_email"]);
/// ```
///
/// A **duration** is a whole number with a unit, `250ms`, `30s`, `10m`, `2h` or `1d`, or several of them with the
/// longest unit first: `1h30m`.
///
/// A **backoff** is one of
///
/// - `constant(5s)`: five seconds after each attempt;
/// - `linear(5s, max = 10m)`: 5, 10, 15 seconds and so on, at most ten minutes;
/// - `exponential(1s, max = 10m)`: 1, 2, 4, 8 seconds and so on, at most ten minutes.
///
/// `max` is one hour unless given.
///
/// # When the library has another name
///
/// The generated code names `::pg_queue`. Where the dependency was renamed, or comes through another crate's
/// re-export, `crate` says where it is:
///
/// ```
/// mod framework {
///     pub use pg_queue as queue;
/// }
/// # use pg_queue::Job as _;
/// # use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, framework::queue::Job)]
/// #[job(crate = "framework::queue")]
/// struct Ping;
///
/// assert_eq!(Ping::KIND, "ping");
/// ```
#[proc_macro_derive(Job, attributes(job))]
pub fn derive_job(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::derive(&input).into()
}
