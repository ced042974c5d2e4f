//! What `#[derive(Request)]` writes, where it is written right.

use std::{collections::HashMap, time::Duration};

use pg_queue::{DEFAULT_CALL_TIMEOUT, Failed, Request};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = String)]
struct Plain;

#[derive(Serialize, Deserialize, Request)]
#[request(queue = "users", timeout = "1500ms", aliases = ["find_user", "User"])]
#[request(response = Result<HashMap<String, Vec<(u8, i64)>>, ()>, error = NotFound, max_attempts = 3, kind = "user",)]
struct GetHTTPUser {
    id: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotFound;

/// Names of the user's own do not get into the way.
mod shadowed {
    #![allow(dead_code, non_camel_case_types)]

    struct Some;
    struct str;
    struct u16;

    #[derive(::serde::Serialize, ::serde::Deserialize, ::pg_queue::Request)]
    #[request(response = (), max_attempts = 2, aliases = ["a"], timeout = "1s")]
    pub(super) struct r#Struct(i32);
}

fn response<R: Request>() -> (&'static str, &'static str) {
    (std::any::type_name::<R::Response>(), std::any::type_name::<R::Error>())
}

#[test]
fn what_is_not_said_has_its_default() {
    assert_eq!((Plain::KIND, Plain::QUEUE, Plain::ALIASES.len()), ("plain", "requests", 0));
    assert_eq!((Plain::TIMEOUT, Plain::MAX_ATTEMPTS), (DEFAULT_CALL_TIMEOUT, 1));
    assert_eq!(response::<Plain>(), (std::any::type_name::<String>(), std::any::type_name::<Failed>()));
}

#[test]
fn what_is_said_counts_in_all_attributes_together() {
    assert_eq!((GetHTTPUser::KIND, GetHTTPUser::QUEUE), ("user", "users"));
    assert_eq!(GetHTTPUser::ALIASES, ["find_user", "User"]);
    assert_eq!((GetHTTPUser::TIMEOUT, GetHTTPUser::MAX_ATTEMPTS), (Duration::from_millis(1500), 3));
    let types = response::<GetHTTPUser>();
    assert!(types.0.contains("HashMap") && types.1.ends_with("NotFound"), "{types:?}");
}

#[test]
fn names_of_the_users_own_do_not_matter() {
    assert_eq!((shadowed::Struct::KIND, shadowed::Struct::MAX_ATTEMPTS), ("struct", 2));
}
