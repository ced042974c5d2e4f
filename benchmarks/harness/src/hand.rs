//! Jobs that are taken and finished by hand: the same loop for all who can do that.

use anyhow::{Context, Result};

use crate::{
    Contestant, Params,
    driver::apart,
    ledger::handle_now,
    orders::{self, Order, Orders},
    usage,
    work::{Beginning, open_ledger},
};

/// The scenario: one loop, until a look finds nothing.
pub(crate) async fn run<C: Contestant>(url: String, params: Params) -> Result<()> {
    let ledger = open_ledger(&params)?;
    let limit = params.get("batch", 500)?;
    let mut orders = Orders::listen();
    orders.ready().await?;
    let Some(Order::Expect { skip, .. }) = orders.next().await? else { return Ok(()) };
    let outcome = apart(move || async move {
        let queue = C::open(&url, 1, &params).await?;
        queue.unfinished().await?;
        let beginning = Beginning::now();
        loop {
            let taken = queue.take(limit).await.context("no jobs could be taken")?;
            if taken.is_empty() {
                break;
            }
            let finished = taken.into_iter().map(|(job, taken)| {
                handle_now(&job);
                taken
            });
            queue.finish(finished.collect()).await.context("jobs could not be finished")?;
        }
        let end = usage::now();
        Ok(beginning.outcome(ledger, end, queue.unfinished().await?, skip))
    })
    .await?;
    orders::say(&outcome)?;
    orders.end().await
}
