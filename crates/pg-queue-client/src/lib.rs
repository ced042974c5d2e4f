//! pg-queue-client
