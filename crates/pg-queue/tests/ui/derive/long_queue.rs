use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "a_queue_whose_name_is_just_one_byte_longer_than48")]
struct SendEmail;

fn main() {}
