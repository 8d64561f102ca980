//! `status --prometheus`: the status as metrics, in the text format of Prometheus, for a textfile collector.
//!
//! Names, units and HELP follow the conventions of Prometheus: base units (seconds), `_total` for counters,
//! one line of HELP and TYPE before the samples of a name.

use std::fmt::{self, Write as _};

use crosswire::frame::Refusal;
use crosswire::pair::Role;
use crosswire::reasons::Verdict;
use crosswire::status::{GroupStatus, PathStatus};
use crosswire::time::Span;

use super::assessment::{Reason, assess};
use super::codes;
use super::control::Report;
use super::exit::Exit;
use super::forecast;
use super::testimony::{is_heard, is_seen};

/// The text so far, and the labels of every sample.
struct Samples<'a> {
    out: &'a mut String,
    /// `pair="lab",node="gw1"`
    labels: String,
}

/// The metrics of a daemon that answers.
pub fn text(report: &Report) -> String {
    let [me, _] = report.names();
    let labels = format!("pair={},node={}", quoted(&report.pair), quoted(me));
    let mut out = String::new();
    let mut samples = Samples { out: &mut out, labels };
    // Writing into memory cannot fail.
    let _ = samples.write(report);
    out
}

/// The metrics of a daemon that does not answer; `exit` says why.
pub fn unanswered(exit: Exit) -> String {
    let mut out = String::new();
    let mut samples = Samples { out: &mut out, labels: String::new() };
    let _ = samples.write_daemon(exit);
    out
}

impl Samples<'_> {
    fn write(&mut self, report: &Report) -> fmt::Result {
        let reason = assess(report);
        self.write_daemon(reason.exit)?;
        self.write_node(report, reason)?;
        self.write_groups(report)?;
        self.write_paths(report)?;
        self.write_witnesses(report)
    }

    fn write_daemon(&mut self, exit: Exit) -> fmt::Result {
        let is_up = !matches!(exit, Exit::NotRunning | Exit::Hangs | Exit::NotAllowed | Exit::Refused);
        self.begin("up", "gauge", "Whether the daemon of this box answers.")?;
        self.sample("up", "", u64::from(is_up))?;
        self.begin(
            "status_code",
            "gauge",
            "Exit code of crosswire status: 0 redundant, 4 alone, 5 unserved, 3 and 6 no answer.",
        )?;
        self.sample("status_code", "", u64::from(exit.code()))
    }

    fn write_node(&mut self, report: &Report, reason: &Reason) -> fmt::Result {
        let node = &report.node;
        self.begin("status_info", "gauge", "Why status ends as it does, and the version of the daemon.")?;
        let labels = format!("reason={},version={}", quoted(reason.name), quoted(env!("CARGO_PKG_VERSION")));
        self.sample("status_info", &labels, 1)?;
        let flags = [
            (
                "jeopardy",
                "Whether one more fault may end the service: a path does not testify.",
                node.jeopardy.is_some(),
            ),
            ("peer_heard", "Whether the other node is heard on any path.", is_heard(report)),
            ("peer_present", "Whether the other node counts as present.", node.verdict == Verdict::Present),
            (
                "takeover_possible",
                "Whether a power loss of either node would be followed by a takeover.",
                forecast::is_followed(report),
            ),
            (
                "configurations_differ",
                "Whether the two nodes run with different configurations.",
                node.is_digest_different,
            ),
            ("shadow", "Whether the pair only says what it would do.", report.is_shadow),
            ("standby", "Whether an operator wants this node to hold nothing.", node.is_standby),
            ("maintenance", "Whether an operator wants nothing moved.", node.maintenance.is_some()),
        ];
        for (name, help, is_so) in flags {
            self.begin(name, "gauge", help)?;
            self.sample(name, "", u64::from(is_so))?;
        }
        self.begin("uptime_seconds", "gauge", "How long this run of the agent lasts.")?;
        self.seconds("uptime_seconds", "", node.up)?;
        self.begin(
            "longest_stall_seconds",
            "gauge",
            "The longest that the loop was late in this run of the agent.",
        )?;
        self.seconds("longest_stall_seconds", "", node.worst_stall)
    }

    fn write_groups(&mut self, report: &Report) -> fmt::Result {
        let (me, peer) = (report.node.me, report.node.me.peer());
        type Of<'a> = &'a dyn Fn(usize, &GroupStatus) -> u64;
        let serves =
            |side| move |index: usize, _: &GroupStatus| u64::from(report.server(index) == Some(side));
        let all: [(&str, &str, Of); 5] = [
            ("group_active", "Whether this node serves the group.", &serves(me)),
            ("group_peer_active", "Whether the other node is heard to serve the group.", &serves(peer)),
            ("group_faulty", "Whether the group failed on this node.", &|_, group| {
                u64::from(group.role == Role::Faulty)
            }),
            ("group_served_twice", "Whether both nodes serve the group.", &|_, group| {
                u64::from(group.both_serve.is_some())
            }),
            ("group_term", "Number of the reign; each takeover adds one.", &|_, group| u64::from(group.term)),
        ];
        for (name, help, of) in all {
            self.begin(name, "gauge", help)?;
            for (index, ((group, _), status)) in report.groups.iter().zip(&report.node.groups).enumerate() {
                self.sample(name, &format!("group={}", quoted(group)), of(index, status))?;
            }
        }
        self.begin(
            "group_unserved_seconds",
            "gauge",
            "For how long nobody of whom this node knows has served the group.",
        )?;
        for ((group, _), status) in report.groups.iter().zip(&report.node.groups) {
            let labels = format!("group={}", quoted(group));
            self.seconds("group_unserved_seconds", &labels, status.unserved.unwrap_or_default())?;
        }
        Ok(())
    }

    fn write_paths(&mut self, report: &Report) -> fmt::Result {
        type Of = fn(&PathStatus) -> u64;
        let all: [(&str, &str, &str, Of); 4] = [
            ("path_heard", "gauge", "Whether the other node is heard on the path.", |path| {
                path.state.is_heard().into()
            }),
            ("path_heard_by_peer", "gauge", "Whether the other node hears this one on the path.", |path| {
                path.heard_by_peer.is_some_and(|age| age < path.dead_after).into()
            }),
            ("path_beats_received_total", "counter", "Heartbeats received.", |path| path.beats_heard.into()),
            ("path_beats_sent_total", "counter", "Heartbeats sent.", |path| path.beats_sent.into()),
        ];
        for (name, kind, help, of) in all {
            self.begin(name, kind, help)?;
            for (path, status) in report.paths.iter().zip(&report.node.paths) {
                self.sample(name, &format!("path={}", quoted(path)), of(status))?;
            }
        }
        self.begin(
            "path_margin_ratio",
            "gauge",
            "How many times the longest gap between heartbeats fits into dead_after.",
        )?;
        for (path, status) in report.paths.iter().zip(&report.node.paths) {
            if let Some(tenths) = status.quality.margin_tenths(status.dead_after) {
                let value = format!("{}.{}", tenths / 10, tenths % 10);
                self.line("path_margin_ratio", &format!("path={}", quoted(path)), &value)?;
            }
        }
        self.begin("path_longest_gap_seconds", "gauge", "The longest gap between two heartbeats.")?;
        for (path, status) in report.paths.iter().zip(&report.node.paths) {
            self.seconds(
                "path_longest_gap_seconds",
                &format!("path={}", quoted(path)),
                status.quality.worst_gap,
            )?;
        }
        self.begin("path_refused_total", "counter", "Frames that were not accepted, by reason.")?;
        for (path, status) in report.paths.iter().zip(&report.node.paths) {
            for (refusal, count) in Refusal::ALL.iter().zip(status.refusals) {
                let labels = format!("path={},reason={}", quoted(path), quoted(codes::refusal(*refusal)));
                self.sample("path_refused_total", &labels, count.into())?;
            }
        }
        Ok(())
    }

    fn write_witnesses(&mut self, report: &Report) -> fmt::Result {
        if report.witnesses.is_empty() {
            return Ok(());
        }
        self.begin("witness_seen", "gauge", "Whether this node sees the witness.")?;
        for (name, witness) in report.witnesses.iter().zip(&report.node.witnesses) {
            let labels = format!("witness={}", quoted(name));
            self.sample("witness_seen", &labels, u64::from(is_seen(&report.node, witness)))?;
        }
        Ok(())
    }

    fn begin(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.out, "# HELP crosswire_{name} {help}\n# TYPE crosswire_{name} {kind}")
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) -> fmt::Result {
        self.line(name, labels, &value.to_string())
    }

    fn seconds(&mut self, name: &str, labels: &str, span: Span) -> fmt::Result {
        let ms = span.as_ms();
        self.line(name, labels, &format!("{}.{:03}", ms / 1_000, ms % 1_000))
    }

    fn line(&mut self, name: &str, labels: &str, value: &str) -> fmt::Result {
        let comma = if self.labels.is_empty() || labels.is_empty() { "" } else { "," };
        let all = format!("{}{comma}{labels}", self.labels);
        if all.is_empty() {
            writeln!(self.out, "crosswire_{name} {value}")
        } else {
            writeln!(self.out, "crosswire_{name}{{{all}}} {value}")
        }
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::operator::assessment::tests::well;

    fn of_a_pair() -> String {
        text(&well(Role::Active))
    }

    /// What promtool says of `input`; `None` if it is not installed (Debian: in the package prometheus).
    fn promtool(words: &[&str], input: &str) -> Option<(bool, String)> {
        let mut tool = Command::new("promtool");
        let tool = tool.args(words).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/monitoring"));
        let Ok(mut tool) = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        else {
            assert!(std::env::var_os("CROSSWIRE_TOOLS").is_none(), "`.ci/run machine` installs promtool");
            println!("left out: there is no promtool");
            return None;
        };
        tool.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let said = tool.wait_with_output().expect("it ends");
        let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        Some((said.status.success(), words))
    }

    #[test]
    fn prometheus_finds_nothing_to_say() {
        for metrics in [of_a_pair(), unanswered(Exit::Hangs)] {
            let said = promtool(&["check", "metrics"], &metrics);
            assert!(
                said.as_ref().is_none_or(|(is_good, words)| *is_good && words.is_empty()),
                "{said:?}\n{metrics}"
            );
        }
        for words in [&["check", "rules", "alerts.yml"][..], &["test", "rules", "alerts-test.yml"]] {
            let said = promtool(words, "");
            assert!(said.as_ref().is_none_or(|(is_good, _)| *is_good), "{said:?}");
        }
    }

    #[test]
    fn each_name_has_one_help_and_one_type_before_its_samples() {
        let metrics = of_a_pair();
        let mut told: Vec<&str> = Vec::new();
        let mut lines = metrics.lines().peekable();
        while let Some(line) = lines.next() {
            let name = line.strip_prefix("# HELP ").and_then(|rest| rest.split(' ').next()).expect("a HELP");
            assert!(!told.contains(&name), "{name} twice");
            told.push(name);
            let kind =
                lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a TYPE");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                assert!(sample.starts_with(&format!("{name}{{pair=\"lab\",node=\"gw1\"")), "{sample}");
            }
        }
        assert!(told.len() > 20, "{told:?}");
        assert!(
            metrics.contains("crosswire_group_active{pair=\"lab\",node=\"gw1\",group=\"gateway\"} 1\n"),
            "{metrics}"
        );
        assert!(
            metrics.contains("crosswire_status_info{pair=\"lab\",node=\"gw1\",reason=\"well\",version="),
            "{metrics}"
        );
        assert!(
            metrics.contains("crosswire_uptime_seconds{pair=\"lab\",node=\"gw1\"} 100.000\n"),
            "{metrics}"
        );
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_a_metric_too() {
        assert!(unanswered(Exit::NotRunning).contains("crosswire_up 0\n"));
        assert!(unanswered(Exit::Hangs).ends_with("crosswire_status_code 6\n"));
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c\\nd\"");
    }

    /// Alerts and dashboard ask only for metrics that exist, and the dashboard is JSON.
    #[test]
    fn whatever_is_asked_for_in_config_monitoring_is_a_metric() {
        let metrics = of_a_pair();
        let dashboard = include_str!("../../config/monitoring/dashboard.json");
        serde_json::from_str::<serde_json::Value>(dashboard).expect("JSON");
        for text in [include_str!("../../config/monitoring/alerts.yml"), dashboard] {
            let asked: Vec<&str> = text.match_indices("crosswire_").map(|(at, _)| &text[at..]).collect();
            for asked in asked {
                let end = asked.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(asked.len());
                assert!(metrics.contains(&format!("# TYPE {} ", &asked[..end])), "{}", &asked[..end]);
            }
        }
    }
}
