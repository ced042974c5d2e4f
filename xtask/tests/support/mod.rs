//! What tests of the whole program have in common.

use std::{env, fs, path::PathBuf};

/// The program where it was built or, if that is not for us to read, beside this test, where both were copied to.
pub(crate) fn program() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_xtask"));
    if fs::File::open(&built).is_ok() {
        return built;
    }
    let this = env::current_exe().expect("this is a program");
    this.with_file_name("xtask")
}
