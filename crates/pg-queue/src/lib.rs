//! pg-queue
