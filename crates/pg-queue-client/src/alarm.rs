//! A timer that is moved on and on.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep};

/// Rings when so much time has passed since a moment that moves on with every statement.
///
/// To set a timer for each statement would cost more than anything else that is done for it here: a timer that is the next one
/// to end wakes the thread that waits for it. This one is set anew only when it has rung too early.
pub(crate) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    pub(crate) fn new(after: Duration) -> Self {
        Self(Box::pin(sleep(after)))
    }

    pub(crate) async fn rings(&mut self, since: Instant, after: Duration) {
        let until = since + after;
        if self.0.deadline() > until {
            self.0.as_mut().reset(until);
        }
        loop {
            self.0.as_mut().await;
            if Instant::now() >= until {
                return;
            }
            self.0.as_mut().reset(until);
        }
    }
}
