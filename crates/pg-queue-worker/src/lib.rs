//! pg-queue-worker
