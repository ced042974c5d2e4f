//! What a contestant is told about its work: `key=value` arguments.

use std::{any::type_name, collections::BTreeMap, str::FromStr, time::Duration};

use anyhow::{Context, Result, anyhow};

/// The parameters of one run. What is not given has a default at the place where it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let pair = |argument: String| {
            let (key, value) = argument.split_once('=').with_context(|| format!("{argument:?} is not key=value"))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        arguments.map(pair).collect::<Result<_>>().map(Self)
    }

    /// The value of a parameter, or `default` when it was not given.
    ///
    /// # Errors
    /// What was given is not a `T`.
    pub fn get<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        let Some(value) = self.0.get(key) else { return Ok(default) };
        value.parse().map_err(|_| anyhow!("{key}={value} is not of the type {}", type_name::<T>()))
    }

    /// How many jobs a worker runs at once: where handlers take time, that is what the scenario is about; where they do
    /// nothing, it is for the contestant to say what is best for it.
    ///
    /// # Errors
    /// What was given is no number.
    pub fn concurrency(&self, best: usize) -> Result<usize> {
        if self.get("handler_us", 0)? > 0 { self.get("concurrency", best) } else { Ok(best) }
    }

    /// A parameter that is a time in seconds.
    ///
    /// # Errors
    /// What was given is not a number of seconds.
    pub fn seconds(&self, key: &str, default: f64) -> Result<Duration> {
        let seconds = self.get(key, default)?;
        Duration::try_from_secs_f64(seconds).with_context(|| format!("{key}={seconds} is no time"))
    }
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn parameters_have_defaults_and_types() {
        let params = Params::parse(["jobs=12".into(), "url=a=b".into()].into_iter()).expect("both are pairs");
        assert_eq!(params.get("jobs", 1).ok(), Some(12));
        assert_eq!(params.get("tasks", 16).ok(), Some(16));
        assert_eq!(params.get("url", String::new()).ok().as_deref(), Some("a=b"));
        assert!(params.get::<u32>("url", 0).is_err());
        assert!(Params::parse(["jobs".into()].into_iter()).is_err());
    }

    #[test]
    fn the_scenario_says_how_many_run_at_once_only_where_handlers_take_time() {
        let params = |arguments: &[&str]| Params::parse(arguments.iter().map(|it| (*it).to_owned())).expect("pairs");
        assert_eq!(params(&["concurrency=4"]).concurrency(50).ok(), Some(50));
        assert_eq!(params(&["concurrency=4", "handler_us=1000"]).concurrency(50).ok(), Some(4));
    }
}
