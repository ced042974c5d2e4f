use pg_queue::Job;

#[derive(Job)]
union Bits {
    integer: u32,
    float: f32,
}

fn main() {}
