//! The tables, as the crate was published with them.

fn main() -> anyhow::Result<()> {
    bench_published::setup_sql("pg-queue", &["migrations/setup.sql"])
}
