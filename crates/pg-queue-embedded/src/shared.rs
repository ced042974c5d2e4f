//! One server for all tests of a binary.

use std::sync::OnceLock;

use crate::{Server, Settings, StartError, error::with_causes};

/// The server of this test binary, which all of its tests share: one database per test keeps them apart.
///
/// It is the server that `PG_QUEUE_TEST_SERVER` names, which is how `cargo xtask test` hands one server to all test
/// binaries, and otherwise what [`Server::from_env_or_start`] finds for [`Settings::for_tests`].
///
/// # Panics
///
/// If there is no server, with the text of the [`StartError`]: this is for tests.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| match find() {
        Ok(server) => server,
        Err(error) => panic!("{}", with_causes(&error)),
    })
}

fn find() -> Result<Server, StartError> {
    match Server::from_env("PG_QUEUE_TEST_SERVER")? {
        Some(server) => Ok(server),
        None => Server::from_env_or_start(Settings::for_tests()),
    }
}
