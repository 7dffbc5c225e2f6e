//! Counters as a table, as JSON, and for Prometheus.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::metrics::METRICS;
use super::source::Snapshot;
use crate::text::say_json;

/// A line for each counter, with what has come since `before`.
pub fn table(now: &Snapshot, before: Option<&Snapshot>) -> String {
    let mut text = String::new();
    for (at, metric) in METRICS.iter().enumerate() {
        let value = now.counters[at];
        let since =
            before.map(|before| value.wrapping_sub(before.counters[at]).cast_signed()).filter(|since| *since != 0);
        let since = since.map(|since| format!("  {since:+}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:20} {value:12}{since}", metric.name);
    }
    text
}

pub fn json(now: &Snapshot) {
    let values = METRICS.iter().zip(now.counters).map(|(metric, value)| (metric.name.to_owned(), Value::from(value)));
    say_json(&values.collect::<Map<_, _>>());
}

/// The text format, version 0.0.4: of each family the help, the type, and then all its values.
pub fn prometheus(now: &Snapshot) -> String {
    let mut text = String::new();
    let mut family = "";
    for (metric, value) in METRICS.iter().zip(now.counters) {
        if metric.family != family {
            family = metric.family;
            let kind = if metric.is_gauge { "gauge" } else { "counter" };
            let _ = write!(text, "# HELP {family} {}\n# TYPE {family} {kind}\n", metric.help);
        }
        let label = metric.label.map(|(name, value)| format!("{{{name}=\"{value}\"}}")).unwrap_or_default();
        let _ = writeln!(text, "{family}{label} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use ticketshim_keys::counters::Counter;

    fn sample() -> Snapshot {
        Snapshot { counters: std::array::from_fn(|i| i as u64 * 10) }
    }

    #[test]
    fn names_are_those_of_the_counters() {
        assert_eq!(METRICS[Counter::Opened as usize].name, "opened");
        assert_eq!(METRICS[Counter::RefusedBinding as usize].label, Some(("reason", "binding")));
        assert_eq!(METRICS[Counter::Failures as usize].name, "failures");
        assert_eq!(METRICS[Counter::StateRefusals as usize].name, "state_refusals");
    }

    #[test]
    fn prometheus_has_each_family_once_and_together() {
        let text = prometheus(&sample());
        let mut seen = HashSet::new();
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            assert!(seen.insert(line.to_owned()), "{line} twice");
        }
        assert!(text.contains("\nticketshim_refused_total{reason=\"binding\"} 80\n"));
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_table_shows_what_has_changed() {
        let mut before = sample();
        before.counters[Counter::Opened as usize] -= 3;
        let text = table(&sample(), Some(&before));
        assert_eq!(text.matches("+3").count(), 1);
    }
}
