//! `keepalived_bfd.data`: the sessions that are configured.
//!
//! No session is run yet: each is told as one that has never heard of its peer. Source: keepalived's file.

use super::global::{Part, global};
use super::lines::Lines;
use crate::model::Config;
use crate::model::bfd::BfdInstance;

/// The file.
pub(crate) fn bfd(config: &Config) -> String {
    let mut text = Text(global(config, Part::Other));
    text.line("------< BFD Data >------");
    text.line("------< BFD Topology >------");
    config.bfds.iter().for_each(|b| text.instance(b));
    text.0
}

struct Text(String);

impl Lines for Text {
    fn text(&mut self) -> &mut String {
        &mut self.0
    }
}

impl Text {
    fn instance(&mut self, b: &BfdInstance) {
        self.line(format_args!(" BFD Instance = {}", b.name));
        self.pair("Neighbor IP", b.neighbor);
        if let Some(source) = b.source {
            self.pair("Source IP", source);
        }
        for (label, interval) in [
            ("Required min RX interval", b.min_rx),
            ("Desired min TX interval", b.min_tx),
            ("Desired idle TX interval", b.idle_tx),
        ] {
            self.pair(label, format_args!("{} us", interval.as_micros()));
        }
        self.pair("Detection multiplier", b.multiplier);
        self.pair("TTL", b.ttl);
        self.pair("max_hops", b.max_hops.map_or(-1, i16::from));
        self.pair("passive", b.passive);
        let word = |tells: bool| if tells { "Yes" } else { "No" };
        self.pair("send event to VRRP process", word(b.tells_vrrp));
        self.pair("send event to checker process", word(b.tells_checkers));
        self.pair("send error", false);
        for (label, value) in [
            ("local state", "Down"),
            ("remote state", "Down"),
            ("remote discriminator", "0x0"),
            ("local diag", "No Diagnostic"),
            ("remote diag", "No Diagnostic"),
            ("remote min tx intv", "0 us"),
            ("remote min rx intv", "0 us"),
            ("local demand", "0"),
            ("remote demand", "0"),
            ("remote detect multiplier", "0"),
        ] {
            self.pair(label, value);
        }
        self.line("   !poll, !final");
        let idle = b.idle_tx.as_micros();
        self.pair("local tx intv", format_args!("{idle} us"));
        self.pair("remote tx intv", "0 us");
        self.pair("local detection time", "0 us");
        self.pair("remote detection time", "0 us");
        self.pair("last_seen", "[never]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Fake;

    /// What only a session that runs has: descriptors, timers, a number of its own.
    const RUNNING: [&str; 5] = [
        "   fd_out ",
        "   thread_",
        "   sands_",
        "   local discriminator",
        " fd_in",
    ];

    /// keepalived 2.4.3 wrote the lines of a session whose peer never answered.
    #[test]
    fn a_session_that_is_down_has_the_lines_of_keepalived_in_their_order() {
        let block = "bfd_instance bfd_rs {\n neighbor_ip 10.40.0.11\n source_ip 10.40.0.1\n}\n";
        let ours = bfd(&Fake::with(block).load().config);
        let wrote = include_str!("../../tests/dumps/stock/keepalived_bfd.data");
        let of = |text: &str| -> Vec<String> {
            let lines = text.lines().skip_while(|l| !l.contains("= bfd_rs"));
            let lines = lines.filter(|l| !RUNNING.iter().any(|p| l.starts_with(p)));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(of(&ours), of(wrote));
        assert!(ours.contains("------< BFD Topology >------\n BFD Instance"));
    }
}
