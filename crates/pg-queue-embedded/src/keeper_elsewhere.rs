//! No private servers here: there is no `/bin/sh` to keep them, and no Unix socket to reach them by.

use std::path::{Path, PathBuf};

use crate::{Halt, HaltError, Settings, StartError};

/// Cannot exist on this platform.
#[derive(Debug)]
pub(crate) enum Keeper {}

impl Keeper {
    pub(crate) fn start(_settings: &Settings) -> Result<Keeper, StartError> {
        Err(StartError::Platform)
    }

    pub(crate) fn halt(&self, _how: Halt) -> Result<(), HaltError> {
        match *self {}
    }

    pub(crate) fn resume(&self) -> Result<(), StartError> {
        match *self {}
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

    pub(crate) fn pid(&self) -> Option<u32> {
        match *self {}
    }
}
