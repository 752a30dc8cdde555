//! `keepalived.stats`: the counters of every instance.

use std::fmt::Write as _;

use crate::daemon::bus::InstanceSnapshot;

/// The whole file, instances in the order given.
pub(crate) fn stats(instances: &[InstanceSnapshot]) -> String {
    instances.iter().map(one).collect()
}

fn one(snapshot: &InstanceSnapshot) -> String {
    let c = &snapshot.counters;
    let sections: [(&str, &[(&str, u64)]); 4] = [
        (
            "Packet Errors",
            &[
                ("Length", c.packet_length_errors),
                ("TTL", c.ttl_errors),
                ("Invalid Type", c.invalid_type),
                ("Advertisement Interval", c.advert_interval_errors),
                ("Address List", c.address_list_errors),
            ],
        ),
        (
            "Authentication Errors",
            &[
                ("Invalid Type", c.invalid_auth_type),
                ("Type Mismatch", c.auth_type_mismatch),
                ("Failure", c.auth_failures),
            ],
        ),
        // Version 2.4 has these lines whether or not anything is authenticated by them.
        (
            "Authentication Extension Errors",
            &[
                ("Missing", c.hmac_missing),
                ("Malformed", c.hmac_malformed),
                ("Unknown Key", c.hmac_unknown_key),
                ("Invalid HMAC", c.hmac_invalid),
                ("Stale", c.hmac_stale),
                ("Replay", c.hmac_replay),
            ],
        ),
        (
            "Priority Zero",
            &[
                ("Received", c.priority_zero_received),
                ("Sent", c.priority_zero_sent),
            ],
        ),
    ];
    let mut text = format!(
        "VRRP Instance: {}\n  Advertisements:\n    Received: {}\n    Sent: {}\n  \
         Became master: {}\n  Released master: {}\n",
        snapshot.instance.name,
        c.advert_received,
        c.advert_sent,
        c.became_master,
        c.released_master,
    );
    for (title, lines) in sections {
        // Writing to a String cannot fail.
        _ = writeln!(text, "  {title}:");
        for (label, n) in lines {
            _ = writeln!(text, "    {label}: {n}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::data::tests::snapshot;

    #[test]
    fn the_lines_are_those_that_parsers_know() {
        let mut s = snapshot("VI_1");
        (s.counters.advert_sent, s.counters.auth_failures) = (19, 3);
        let text = stats(&[s]);
        assert_eq!(
            text,
            "VRRP Instance: VI_1\n  Advertisements:\n    Received: 0\n    Sent: 19\n  \
             Became master: 0\n  Released master: 0\n  Packet Errors:\n    Length: 0\n    \
             TTL: 0\n    Invalid Type: 0\n    Advertisement Interval: 0\n    Address List: 0\n  \
             Authentication Errors:\n    Invalid Type: 0\n    Type Mismatch: 0\n    Failure: 3\n  \
             Authentication Extension Errors:\n    Missing: 0\n    Malformed: 0\n    Unknown Key: 0\n    \
             Invalid HMAC: 0\n    Stale: 0\n    Replay: 0\n  \
             Priority Zero:\n    Received: 0\n    Sent: 0\n"
        );
    }
}
