//! What people and programs are told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{comparison::Comparison, machine::Machine, statistics::Spread};

/// What is said of each side beside the figure that the case is about, if it was measured. Braces stand for a job or a message.
const SAID: [(&str, &str); 15] = [
    ("server_cpu_us_per_job", "us of server CPU a {}"),
    ("wal_bytes_per_job", "bytes of WAL a {}"),
    ("transactions_per_job", "transactions a {}"),
    ("worker_cpu_us_per_job", "us of worker CPU a {}"),
    ("producer_cpu_us_per_job", "us of producer CPU a {}"),
    ("worker_peak_rss_mb", "MB of worker at most"),
    ("subscriber_connections", "connections of the subscribers"),
    ("told_lost", "{}s lost that the subscribers were told of"),
    ("p50_ms", "ms p50"),
    ("p99_ms", "ms p99"),
    ("first_server_cpu_us_per_job", "us of server CPU a {} at the beginning"),
    ("last_server_cpu_us_per_job", "at the end"),
    ("wake_ups_per_s", "wake-ups/s"),
    ("worker_cpu_ms_per_s", "ms of worker CPU/s"),
    ("server_cpu_ms_per_s", "ms of server CPU/s"),
];

/// A case in a few lines.
pub(crate) fn text(compared: &Comparison) -> String {
    let unit = compared.measure.unit();
    let mut lines = Vec::new();
    let mut side = |name: &str, value: Option<Spread>, metrics: &BTreeMap<String, Spread>, runs: usize| {
        let Some(value) = value else { return };
        let Spread { median, min, max } = value;
        lines.push(format!(
            "{:<16} {:<16} {:>10} {unit} ({} to {}, {runs} runs)",
            compared.case,
            name,
            figure(median),
            figure(min),
            figure(max)
        ));
        let said = SAID.iter().filter_map(|(key, what)| {
            Some(format!("{} {}", figure(metrics.get(*key)?.median), what.replace("{}", compared.thing)))
        });
        lines.push(format!("    {}", said.collect::<Vec<_>>().join(", ")));
    };
    side("ours", compared.ours.value(), &compared.ours.metrics(), compared.ours.runs.len());
    side(compared.peer_name, compared.peer.value(), &compared.peer.metrics(), compared.peer.runs.len());
    match (compared.ratio(), &compared.peer.trouble) {
        (_, Some(trouble)) => lines.push(format!("{:<16} {:<16} {trouble}", compared.case, compared.peer_name)),
        (Some(ratio), None) => lines.push(format!("{:<16} ratio {ratio:.2}", compared.case)),
        (None, None) => {}
    }
    lines.join("\n")
}

/// A case as one object. The keys without a prefix are about ours.
pub(crate) fn object(compared: &Comparison, machine: &Machine) -> Value {
    let (ours, peer) = (compared.ours.value(), compared.peer.value());
    let (account, peer_account) = (compared.ours.account(), compared.peer.account());
    let (metrics, peer_metrics) = (compared.ours.metrics(), compared.peer.metrics());
    let median = |metrics: &BTreeMap<String, Spread>, name: &str| metrics.get(name).map(|it| rounded(it.median));
    let stalled = compared.peer.runs.iter().find_map(|run| run.stalled_at);
    json!({
        "case": compared.case,
        "unit": compared.measure.unit(),
        "less_is_better": compared.measure.less_is_better(),
        "ours": ours.map(|it| rounded(it.median)),
        "peer": peer.filter(|_| compared.peer.trouble.is_none()).map(|it| rounded(it.median)),
        "ratio": compared.ratio().map(rounded),
        "runs": compared.ours.runs.len(),
        "min": ours.map(|it| rounded(it.min)),
        "max": ours.map(|it| rounded(it.max)),
        "server_cpu_us_per_job": median(&metrics, "server_cpu_us_per_job"),
        "wal_bytes_per_job": median(&metrics, "wal_bytes_per_job"),
        "unfinished": account.unfinished,
        "doubled": account.doubled,
        "lost": account.lost,
        "peer_name": compared.peer_name,
        "peer_min": peer.map(|it| rounded(it.min)),
        "peer_max": peer.map(|it| rounded(it.max)),
        "peer_server_cpu_us_per_job": median(&peer_metrics, "server_cpu_us_per_job"),
        "peer_wal_bytes_per_job": median(&peer_metrics, "wal_bytes_per_job"),
        "peer_unfinished": peer_account.unfinished,
        "peer_doubled": peer_account.doubled,
        "peer_lost": peer_account.lost,
        "peer_stalled_at": stalled,
        "peer_trouble": compared.peer.trouble,
        "metrics": all(&metrics),
        "peer_metrics": all(&peer_metrics),
        "machine": machine,
        "ours_runs": compared.ours.runs,
        "peer_runs": compared.peer.runs,
    })
}

fn all(metrics: &BTreeMap<String, Spread>) -> BTreeMap<&String, Value> {
    let object = |it: &Spread| json!({ "median": rounded(it.median), "min": rounded(it.min), "max": rounded(it.max) });
    metrics.iter().map(|(name, spread)| (name, object(spread))).collect()
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// With as many places as tell something, and thousands apart.
pub(crate) fn figure(number: f64) -> String {
    match number.abs() {
        ..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        100.0..1000.0 => format!("{number:.0}"),
        _ => {
            let digits = format!("{number:.0}");
            let end = digits.len();
            let separated = digits.char_indices().map(|(at, digit)| {
                let is_start_of_three = at > 0 && (end - at) % 3 == 0 && !digits[..at].ends_with('-');
                if is_start_of_three { format!(",{digit}") } else { digit.to_string() }
            });
            separated.collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{figure, object, text};
    use crate::{
        comparison::{Comparison, Runs},
        machine::Machine,
        outcome::Outcome,
        scenarios::Measure,
    };

    fn compared(trouble: Option<&str>) -> Comparison {
        let run =
            |value| Outcome { value, metrics: [("wal_bytes_per_job".to_owned(), 250.0)].into(), ..Outcome::default() };
        let peer = Runs { runs: vec![run(500.0)], trouble: trouble.map(str::to_owned) };
        let ours = Runs { runs: vec![run(1500.0), run(1000.0), run(2000.0)], trouble: None };
        Comparison { case: "drain".into(), measure: Measure::Rate, thing: "job", peer_name: "raw", ours, peer }
    }

    fn machine() -> Machine {
        Machine {
            date: "2026-01-01".into(),
            commit: "abc".into(),
            processors: 2,
            model: "a model".into(),
            postgres: "18".into(),
            load: "0.1".into(),
            fsync_us: None,
        }
    }

    #[test]
    fn the_promised_keys_are_there() {
        let object = object(&compared(None), &machine());
        assert_eq!(object["ours"], 1500.0);
        assert_eq!(object["peer"], 500.0);
        assert_eq!(object["ratio"], 3.0);
        assert_eq!((&object["min"], &object["max"]), (&1000.0.into(), &2000.0.into()));
        assert_eq!(object["runs"], 3);
        assert_eq!(object["wal_bytes_per_job"], 250.0);
        assert_eq!(object["unfinished"], 0);
        assert!(object.get("server_cpu_us_per_job").is_some(), "though it was not measured");
    }

    #[test]
    fn a_peer_in_trouble_has_no_figure() {
        let object = object(&compared(Some("stalled at 7 of 9 jobs")), &machine());
        assert!(object["peer"].is_null() && object["ratio"].is_null());
        assert!(text(&compared(Some("stalled at 7 of 9 jobs"))).contains("raw              stalled at 7"));
    }

    #[test]
    fn a_case_is_told_in_figures_with_their_spread() {
        let text = text(&compared(None));
        assert!(text.contains("1,500 jobs/s (1,000 to 2,000, 3 runs)"), "{text}");
        assert!(text.ends_with("ratio 3.00"), "{text}");
    }

    #[test]
    fn figures_have_as_many_places_as_tell_something() {
        let figures = [0.123, 9.994, 12.34, 999.4, 1234.5, 1_234_567.0].map(figure);
        assert_eq!(figures, ["0.12", "9.99", "12.3", "999", "1,234", "1,234,567"]);
    }
}
