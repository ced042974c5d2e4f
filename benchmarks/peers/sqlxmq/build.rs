//! The tables, as the crate was published with them.

fn main() -> anyhow::Result<()> {
    bench_published::setup_sql(
        "sqlxmq",
        &[
            "migrations/20210316025847_setup.up.sql",
            "migrations/20210921115907_clear.up.sql",
            "migrations/20211013151757_fix_mq_latest_message.up.sql",
            "migrations/20220208120856_fix_concurrent_poll.up.sql",
            "migrations/20220713122907_fix-clear_all-keep-nil-message.up.sql",
        ],
    )
}
