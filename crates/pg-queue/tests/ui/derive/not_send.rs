use std::marker::PhantomData;

use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail {
    to: String,
    #[serde(skip)]
    marker: PhantomData<*const u8>,
}

fn main() {}
