//! Counters as a table, as JSON, and for Prometheus.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value, json};
use ticketshim_keys::counters::file::{ForkGroup, PROCESSES, Published};
use ticketshim_keys::counters::{INFO, Kind};

use crate::text::{Utc, say_json};

/// A line for each counter, with what has come since `before`; then who counts, and the latest epochs.
pub fn table(now: &Published, before: Option<&Published>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    for (at, metric) in INFO.iter().enumerate() {
        let value = now.counters[at];
        let since =
            before.map(|before| value.wrapping_sub(before.counters[at]).cast_signed()).filter(|since| *since != 0);
        let since = since.map(|since| format!("  {since:+}")).unwrap_or_default();
        let _ = writeln!(text, "{:22} {value:10}{since}", metric.name);
    }
    for (name, value) in named_figures(now) {
        let _ = writeln!(text, "{name:22} {value:10}");
    }
    for group in now.fork_groups.iter().filter(|group| group.lives()) {
        let _ = writeln!(text, "{:22} {}", processes(group), in_words(group));
    }
    if !now.history.is_empty() {
        let _ = writeln!(text, "{:22} {:>10} {:>10} {:>10}", "epoch", "sealed", "opened", "refused");
    }
    for one in &now.history {
        let _ = writeln!(text, "{:<22} {:10} {:10} {:10}", one.epoch, one.sealed, one.opened, one.refused);
    }
    text
}

fn processes(group: &ForkGroup) -> String {
    match group.processes.as_slice() {
        [] => String::new(),
        [only] => format!("process {only}"),
        // With as many as a fork group remembers, there may be more.
        [first, others @ ..] => {
            format!("process {first} +{}{}", others.len(), if group.processes.len() < PROCESSES { "" } else { "…" })
        }
    }
}

fn in_words(group: &ForkGroup) -> String {
    let chain =
        group.chain.map_or_else(|| "no keys yet".to_owned(), |chain| format!("chain {chain}, epoch {}", group.epoch));
    let refusal =
        group.refusal.map(|refusal| format!("; STATE FILE REFUSED: {}", refusal.text(Path::new("the state file"))));
    format!("since {}, {chain}{}", Utc(group.began), refusal.unwrap_or_default())
}

pub fn json(now: &Published) {
    say_json(&json!({
        "counters": counters(&now.counters),
        "families": now.fork_groups.iter().map(group).collect::<Vec<_>>(),
        "figures": named_figures(now).map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>(),
        "history": now.history.iter().map(|one| json!({
            "epoch": one.epoch, "sealed": one.sealed, "opened": one.opened, "refused": one.refused,
        })).collect::<Vec<_>>(),
    }));
}

fn group(group: &ForkGroup) -> Value {
    json!({
        "processes": group.processes,
        "lives": group.lives(),
        "began": group.began,
        "written": group.written,
        "epoch": group.epoch,
        "chain": group.chain.map(|chain| chain.to_string()),
        "keys": group.keys.iter().map(|keys| {
            json!({ "process": keys.process, "chain": keys.chain.to_string(), "generation": keys.generation })
        }).collect::<Vec<_>>(),
        "refusal": group.refusal.map(|refusal| refusal.text(Path::new("the state file")).to_string()),
        "counters": counters(&group.counters),
    })
}

fn counters(values: &[u64]) -> Map<String, Value> {
    INFO.iter().zip(values).map(|(metric, value)| (metric.name.to_owned(), Value::from(*value))).collect()
}

/// What is worked out of all fork groups that live: metric, help, value. A line here is a line of the table, a member of
/// `figures` in JSON (both without `ticketshim_`), and a metric.
fn figures(live: &[&ForkGroup]) -> [(&'static str, &'static str, u64); 3] {
    let refused = live.iter().filter(|group| group.refusal.is_some()).count() as u64;
    [
        ("ticketshim_families", "Servers that publish here and live.", live.len() as u64),
        ("ticketshim_state_refused", "Of those, how many do not use or write their state file.", refused),
        (
            "ticketshim_epoch",
            "The latest epoch of their keys.",
            live.iter().map(|group| group.epoch).max().unwrap_or(0),
        ),
    ]
}

/// The same by the names that they have for people.
fn named_figures(now: &Published) -> impl Iterator<Item = (&'static str, u64)> {
    let live: Vec<_> = now.fork_groups.iter().filter(|group| group.lives()).collect();
    figures(&live).into_iter().map(|(metric, _, value)| (metric.strip_prefix("ticketshim_").unwrap_or(metric), value))
}

/// The text format, version 0.0.4, in the form that parsers of OpenMetrics 1.0 take too: of each family of metrics the
/// help, the type, and then all its values; a counter's family is called as its values are without `_total`.
pub fn prometheus(now: &Published) -> String {
    let mut text = String::new();
    let head = |text: &mut String, name: &str, help: &str, kind: &str| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    for (i, first) in INFO.iter().enumerate() {
        if INFO[..i].iter().any(|earlier| earlier.family == first.family) {
            continue;
        }
        let name = first.family.strip_suffix("_total").unwrap_or(first.family);
        head(&mut text, name, first.help(), if first.kind == Kind::Gauge { "gauge" } else { "counter" });
        // Counters are in the order in which they came to be, so a family's need not follow one another.
        for (metric, value) in INFO.iter().zip(now.counters).filter(|(metric, _)| metric.family == first.family) {
            let label = metric.label.map(|(name, value)| format!("{{{name}=\"{value}\"}}")).unwrap_or_default();
            let _ = writeln!(text, "{}{label} {value}", metric.family);
        }
    }
    let live = || now.fork_groups.iter().filter(|group| group.lives());
    let gauges = figures(&live().collect::<Vec<_>>());
    for (name, help, value) in gauges {
        head(&mut text, name, help, "gauge");
        let _ = writeln!(text, "{name} {value}");
    }
    let mut chains: Vec<_> = live().flat_map(|group| &group.keys).map(|keys| (keys.chain, keys.generation)).collect();
    chains.sort_by_key(|(chain, generation)| (*generation, chain.0));
    head(
        &mut text,
        "ticketshim_chain_info",
        "Processes by the chain that they seal under, and their state file's generation.",
        "gauge",
    );
    for (at, (chain, generation)) in chains.iter().enumerate().filter(|(at, keys)| chains.get(at + 1) != Some(keys)) {
        let first = chains.iter().position(|keys| keys == &(*chain, *generation)).unwrap_or(at);
        let count = at + 1 - first;
        let _ = writeln!(text, "ticketshim_chain_info{{chain=\"{chain}\",generation=\"{generation}\"}} {count}");
    }
    text + "# EOF\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use ticketshim_keys::counters::Counter;

    fn sample() -> Published {
        Published { counters: std::array::from_fn(|i| i as u64 * 10), fork_groups: Vec::new(), history: Vec::new() }
    }

    /// What promtool and its kin insist on.
    #[test]
    fn prometheus_has_each_family_once_and_together() {
        let text = prometheus(&sample());
        let mut seen = HashSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if line == "# EOF" {
                break;
            }
            let name =
                line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").split([' ', '{']).next().unwrap();
            let name = name.trim_end_matches("_total");
            if name != current {
                current = name.to_owned();
                assert!(seen.insert(current.clone()), "{name} comes back");
                assert!(line.starts_with("# HELP "), "{line}");
            }
            assert!(line.starts_with('#') || line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("\nticketshim_refused_total{reason=\"binding\"} 80\n"));
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
    }

    #[test]
    fn each_figure_is_in_the_table_and_a_metric() {
        let (table, metrics) = (table(&sample(), None), prometheus(&sample()));
        for (name, value) in named_figures(&sample()) {
            assert!(table.contains(&format!("\n{name:22} {value:10}\n")), "{name}: {table}");
            assert!(metrics.contains(&format!("\nticketshim_{name} {value}\n")), "{name}: {metrics}");
        }
        assert_eq!(named_figures(&sample()).count(), figures(&[]).len());
    }

    #[test]
    fn a_table_shows_what_has_changed() {
        let mut before = sample();
        before.counters[Counter::Opened as usize] -= 3;
        let text = table(&sample(), Some(&before));
        assert_eq!(text.matches("+3").count(), 1);
    }
}
