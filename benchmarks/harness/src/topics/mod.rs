//! Messages to whoever is subscribed: the same publishers and subscribers for all who carry messages.

mod messenger;
mod publish;
mod subscribe;

use anyhow::Result;

pub use self::messenger::{Messenger, Received};
use crate::Params;

/// Does one of the commands that are about messages. `None` when it is another one.
pub(crate) async fn run<M: Messenger>(command: &str, url: &str, params: &Params) -> Option<Result<()>> {
    match command {
        "publish" => Some(publish::run::<M>(url, params).await),
        "subscribe" => Some(subscribe::run::<M>(url, params).await),
        _ => None,
    }
}

/// The topics of a run. Each message goes to one of them, in turn by its number.
fn names(params: &Params) -> Result<Vec<String>> {
    Ok((0..params.get("topics", 1)?).map(|number: usize| format!("bench.{number}")).collect())
}
