//! Being asked to end.

#[cfg(unix)]
use anyhow::Context;
use anyhow::Result;

/// Resolves at Ctrl-C, or when somebody asks the process to end in another way.
#[cfg(unix)]
pub(crate) fn interrupted() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<Result<Vec<_>, _>>()
        .context("signals cannot be handled")?;
    Ok(std::future::poll_fn(move |context| {
        let any = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    }))
}

#[cfg(not(unix))]
pub(crate) fn interrupted() -> Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler, Ctrl-C ends the process, and what it has started sees the end of its standard input.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
