//! Everything that the derive accepts, read back.

#![deny(warnings)]

use std::time::Duration;

use pg_queue::{Backoff, Cron, Job, Missed, OnConflict, Priority, QueueName, Unique, UniqueScope, UniqueUntil};
use serde::{Deserialize, Serialize};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn unique(job: &impl Job) -> Option<Unique> {
    job.unique().unwrap()
}

#[derive(Serialize, Deserialize, Job)]
struct SendHTTPRequest {
    url: String,
}

#[test]
fn without_attribute_the_defaults_apply() {
    assert_eq!(SendHTTPRequest::KIND, "send_http_request");
    assert!(SendHTTPRequest::ALIASES.is_empty());
    assert_eq!(SendHTTPRequest::QUEUE, "default");
    assert_eq!(SendHTTPRequest::PRIORITY, Priority::DEFAULT);
    assert_eq!(SendHTTPRequest::MAX_ATTEMPTS, 20);
    assert_eq!(SendHTTPRequest::TIMEOUT, Some(secs(30 * 60)));
    assert_eq!(SendHTTPRequest::BACKOFF, Backoff::DEFAULT);
    assert_eq!(SendHTTPRequest::KEEP, None);
    assert_eq!(unique(&SendHTTPRequest { url: String::new() }), None);
    assert_eq!(SendHTTPRequest::CRON, None);
    assert!(SendHTTPRequest::from_cron().is_none());
}

#[derive(Serialize, Deserialize, Job)]
#[job(
    kind = "email",
    aliases = ["send_email", "mail"],
    queue = "emails_2",
    priority = 3,
    max_attempts = 5,
    timeout = "1h30m",
    backoff = "exponential(1s, max = 10m)",
    keep = "7d",
    crate = "::pg_queue",
)]
struct Email(String);

#[test]
fn every_key_is_taken() {
    assert_eq!(Email::KIND, "email");
    assert_eq!(Email::ALIASES, ["send_email", "mail"]);
    assert_eq!(Email::QUEUE, "emails_2");
    assert_eq!(Email::PRIORITY.get(), 3);
    assert_eq!(Email::MAX_ATTEMPTS, 5);
    assert_eq!(Email::TIMEOUT, Some(secs(90 * 60)));
    assert_eq!(Email::BACKOFF, Backoff::Exponential { base: secs(1), max: secs(600) });
    assert_eq!(Email::KEEP, Some(secs(7 * 24 * 3600)));
}

#[derive(Serialize, Deserialize, Job)]
#[job(priority = 0, max_attempts = 32767)]
#[job()]
#[job(timeout = "none", backoff = "linear(250ms)", aliases = [])]
struct Lowest;

#[test]
fn attributes_are_merged_and_limits_belong_to_the_range() {
    assert_eq!(Lowest::PRIORITY, Priority::HIGHEST);
    assert_eq!(Lowest::MAX_ATTEMPTS, 32767);
    assert_eq!(Lowest::TIMEOUT, None);
    assert_eq!(Lowest::BACKOFF, Backoff::Linear { base: Duration::from_millis(250), max: secs(3600) });
    assert!(Lowest::ALIASES.is_empty());
}

#[derive(Serialize, Deserialize, Job)]
#[job(priority = 9, max_attempts = 1, backoff = "constant(5s)")]
#[job(queue = "a_queue_whose_name_is_exactly_48_bytes_and_no_mo")]
struct Highest {}

#[test]
fn the_other_limits_belong_to_the_range_too() {
    assert_eq!(Highest::PRIORITY, Priority::LOWEST);
    assert_eq!(Highest::MAX_ATTEMPTS, 1);
    assert_eq!(Highest::BACKOFF, Backoff::Constant(secs(5)));
    assert_eq!(Highest::QUEUE.len(), 48);
    // The macro cannot depend on the crate that has the rule; here the two meet.
    assert!(QueueName::new(Highest::QUEUE).is_ok());
    assert!(QueueName::new(format!("{}r", Highest::QUEUE)).is_err());
}

mod delays {
    use super::{Duration, secs};

    pub(crate) fn slow(attempt: u16) -> Duration {
        secs(10) * u32::from(attempt)
    }
}

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = delays::slow, queue = "slow")]
struct Slow;

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = <Self as Delays>::delay)]
struct Own;

trait Delays {
    fn delay(attempt: u16) -> Duration;
}

impl Delays for Own {
    fn delay(attempt: u16) -> Duration {
        secs(u64::from(attempt) + 1)
    }
}

#[test]
fn a_backoff_may_be_a_function() {
    assert!(matches!(Slow::BACKOFF, Backoff::Function(_)));
    assert_eq!(Slow::BACKOFF.delay(3), secs(30));
    assert_eq!(Slow::QUEUE, "slow");
    assert_eq!(Own::BACKOFF.delay(3), secs(4));
}

#[derive(Clone, Serialize, Deserialize, Job)]
#[job(unique = ["user_id", "type"])]
#[serde(rename_all = "camelCase")]
struct Remind {
    user_id: u64,
    #[serde(rename = "kind")]
    r#type: String,
    text: String,
}

#[test]
fn a_job_is_the_same_as_another_by_its_named_fields() {
    let one = Remind { user_id: 17, r#type: "due".into(), text: "soon".into() };
    let same = Remind { text: "now".into(), ..one.clone() };
    assert!(unique(&one).is_some());
    assert_eq!(unique(&one), unique(&same));
    assert_ne!(unique(&one), unique(&Remind { user_id: 18, ..one.clone() }));
    assert_ne!(unique(&one), unique(&Remind { r#type: "late".into(), ..one.clone() }));
}

#[test]
fn a_unique_key_is_of_the_fields_values_whatever_serde_calls_them() {
    let job = Remind { user_id: 17, r#type: "due".into(), text: "soon".into() };
    assert_eq!(unique(&job), Some(Unique::of(&(17, "due")).unwrap()));
}

#[derive(Serialize, Deserialize, Job)]
#[job(unique = ["1"])]
struct Numbered(String, u64);

#[derive(Serialize, Deserialize, Job)]
#[job(unique = "payload")]
struct Whole {
    day: u32,
    region: String,
}

#[derive(Serialize, Deserialize, Job)]
#[job(unique = "payload")]
struct OnlyOne;

#[test]
fn numbered_fields_and_whole_payloads_make_keys_too() {
    assert_eq!(unique(&Numbered("a".into(), 3)), unique(&Numbered("b".into(), 3)));
    assert_eq!(unique(&Numbered("a".into(), 3)), Some(Unique::of(&(3,)).unwrap()));
    let whole = |day, region: &str| unique(&Whole { day, region: region.into() });
    assert_eq!(whole(1, "at"), whole(1, "at"));
    assert_ne!(whole(1, "at"), whole(2, "at"));
    assert_ne!(whole(1, "at"), whole(1, "de"));
    assert_eq!(unique(&OnlyOne), Some(Unique::of(&()).unwrap()));
}

#[derive(Serialize, Deserialize, Job)]
#[job(unique = ["0"], unique_scope = "queue", unique_until = "started", on_conflict = "replace")]
struct Latest(u64);

#[derive(Serialize, Deserialize, Job)]
#[job(unique = ["0"], unique_scope = "kind", unique_within = "1h", on_conflict = "debounce(30s, max = 5m)")]
struct Debounced(u64);

#[derive(Serialize, Deserialize, Job)]
#[job(unique = ["0"], unique_until = "finished", on_conflict = "keep")]
struct AsIfNotGiven(u64);

#[test]
fn scope_time_and_conflict_are_taken() {
    let of = || Unique::of(&(3,)).unwrap();
    let latest = of().scope(UniqueScope::Queue).until(UniqueUntil::Started).on_conflict(OnConflict::Replace);
    assert_eq!(unique(&Latest(3)), Some(latest));
    let debounce = OnConflict::Debounce { delay: secs(30), max: secs(300) };
    let debounced = of().until(UniqueUntil::Elapsed(secs(3600))).on_conflict(debounce);
    assert_eq!(unique(&Debounced(3)), Some(debounced));
    assert_eq!(unique(&AsIfNotGiven(3)), Some(of()));
}

mod fields {
    use super::{Deserialize, Job, Serialize};

    #[derive(Serialize, Deserialize, Job)]
    #[job(unique = ["old"])]
    pub(crate) struct DeprecatedField {
        #[deprecated]
        pub(crate) old: u8,
    }
}

// Naming the field in the list must not warn; that would be an error here, see the top of the file.
#[expect(deprecated)]
#[test]
fn a_deprecated_field_may_be_a_key() {
    assert!(unique(&fields::DeprecatedField { old: 1 }).is_some());
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, Job)]
#[job(cron = "0 9 * * mon-fri", timezone = "Europe/Vienna", missed = "skip")]
struct Report {
    day: Option<String>,
}

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "@hourly")]
struct Hourly;

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "*/10 * * * * *", missed = "once")]
struct Often;

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "0 0 1 * *", missed = "all")]
struct Invoices;

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "0 0 1 * *", missed = "all(50)")]
struct Salaries(u8);

#[test]
fn what_cron_says_is_taken() {
    let report = Cron::new("0 9 * * mon-fri").timezone("Europe/Vienna").missed(Missed::Skip);
    assert_eq!(Report::CRON, Some(report));
    assert_eq!(Hourly::CRON, Some(Cron::new("@hourly")));
    assert_eq!(Often::CRON, Some(Cron::new("*/10 * * * * *").missed(Missed::Once)));
    assert_eq!(Invoices::CRON, Some(Cron::new("0 0 1 * *").missed(Missed::All(Missed::DEFAULT_MOST))));
    assert_eq!(Salaries::CRON, Some(Cron::new("0 0 1 * *").missed(Missed::All(50))));
}

#[test]
fn cron_makes_the_default() {
    assert_eq!(Report::from_cron(), Some(Report { day: None }));
    assert!(matches!(Salaries::from_cron(), Some(Salaries(0))));
}

#[derive(Serialize, Deserialize, Job)]
#[expect(non_camel_case_types)]
struct r#type;

#[test]
fn a_raw_name_loses_its_prefix() {
    assert_eq!(r#type::KIND, "type");
}

mod framework {
    pub(crate) use pg_queue as queue;
}

#[derive(Serialize, Deserialize, framework::queue::Job)]
#[job(crate = "framework::queue", priority = 1, backoff = "constant(5s)", timeout = "1s")]
struct Renamed;

#[derive(Default, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", priority = 1, backoff = "constant(5s)")]
#[job(unique = "payload", unique_scope = "kind", unique_until = "started", on_conflict = "keep")]
#[job(cron = "@daily", missed = "all")]
struct OfTheCoreAlone;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "crate", priority = 1, backoff = "constant(5s)")]
struct InTheCrateItself;

#[test]
fn the_path_to_the_crate_can_be_given() {
    assert_eq!(Renamed::KIND, "renamed");
    assert_eq!(InTheCrateItself::PRIORITY.get(), 1);
    assert_eq!(unique(&OfTheCoreAlone), Some(Unique::of(&()).unwrap().until(UniqueUntil::Started)));
}

mod shadows {
    #![expect(dead_code, non_camel_case_types, non_upper_case_globals)]

    pub(crate) struct Some;
    pub(crate) struct None;
    pub(crate) struct Ok;
    pub(crate) struct Err;
    pub(crate) struct Option;
    pub(crate) struct Result;
    pub(crate) struct Unique;
    pub(crate) struct Cron;
    pub(crate) struct Missed;
    pub(crate) struct Default;
    pub(crate) struct Duration;
    pub(crate) struct Backoff;
    pub(crate) struct Priority;
    pub(crate) struct str;
    pub(crate) struct u16;
    pub(crate) mod core {}
    pub(crate) mod std {}
    pub(crate) const priority: () = ();

    mod payloads {
        #[derive(Default, serde::Serialize, serde::Deserialize)]
        pub(crate) struct Plain;
    }

    #[derive(Default, pg_queue::Job)]
    #[job(priority = 3, max_attempts = 5, timeout = "30s", backoff = "linear(5s)", keep = "7d", queue = "q", aliases = ["a"])]
    #[job(unique = ["0"], unique_scope = "queue", unique_within = "1h", on_conflict = "debounce(30s, max = 5m)")]
    #[job(cron = "@daily", timezone = "UTC", missed = "all")]
    pub(crate) struct Shadowed(payloads::Plain);

    // By hand: serde's derives need not survive these names.
    impl serde::Serialize for Shadowed {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
            serde::Serialize::serialize(&self.0, serializer)
        }
    }

    impl<'de> serde::Deserialize<'de> for Shadowed {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
            <payloads::Plain as serde::Deserialize>::deserialize(deserializer).map(Self)
        }
    }
}

#[test]
fn names_of_the_user_do_not_get_in_the_way() {
    assert_eq!(shadows::Shadowed::KIND, "shadowed");
    assert_eq!(shadows::Shadowed::TIMEOUT, Some(secs(30)));
}

macro_rules! job {
    ($name:ident, $queue:literal, $priority:expr, $aliases:expr, $backoff:path, $unique:expr) => {
        #[derive(Serialize, Deserialize, Job)]
        #[job(queue = $queue, priority = $priority, aliases = $aliases, backoff = $backoff, unique = $unique)]
        struct $name {
            id: u64,
        }
    };
}

job!(FromMacro, "made", 4, ["from_hand"], delays::slow, ["id"]);

#[test]
fn values_may_come_through_a_macro() {
    assert_eq!(FromMacro::KIND, "from_macro");
    assert_eq!(FromMacro::QUEUE, "made");
    assert_eq!(FromMacro::PRIORITY.get(), 4);
    assert_eq!(FromMacro::ALIASES, ["from_hand"]);
    assert_eq!(FromMacro::BACKOFF.delay(1), secs(10));
    assert_eq!(unique(&FromMacro { id: 3 }), Some(Unique::of(&(3,)).unwrap()));
}

mod old {
    use super::{Deserialize, Job, Serialize};

    #[derive(Serialize, Deserialize, Job)]
    #[deprecated]
    pub(crate) struct Deprecated;
}

// The derive's own mention of the name must not warn; that would be an error here, see the top of the file.
#[expect(deprecated)]
#[test]
fn a_deprecated_payload_is_not_a_use_of_itself() {
    let old::Deprecated = old::Deprecated;
    assert_eq!(old::Deprecated::KIND, "deprecated");
}
