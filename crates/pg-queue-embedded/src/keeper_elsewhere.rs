//! No private servers here: there is no `/bin/sh` to keep them, and no Unix socket to reach them by.

use std::path::{Path, PathBuf};

use crate::{Settings, StartError};

/// Cannot exist on this platform.
#[derive(Debug)]
pub(crate) enum Keeper {}

impl Keeper {
    pub(crate) fn start(_settings: &Settings) -> Result<Keeper, StartError> {
        Err(StartError::Platform)
    }

    pub(crate) fn url(&self, _database: &str) -> String {
        match *self {}
    }

    pub(crate) fn bin_dir(&self) -> &Path {
        match *self {}
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        match *self {}
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        match *self {}
    }

    pub(crate) fn pid(&self) -> u32 {
        match *self {}
    }
}
