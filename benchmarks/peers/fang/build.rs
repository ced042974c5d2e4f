//! The table, as the crate was published with it.

fn main() -> anyhow::Result<()> {
    bench_published::setup_sql("fang", &["postgres_migrations/migrations/2022-08-20-151615_create_fang_tasks/up.sql"])
}
