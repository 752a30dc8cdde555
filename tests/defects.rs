//! What stock keepalived gets wrong about virtual servers and is surely not meant: what we do instead, and the test that
//! holds us to it.

use std::path::Path;

/// Number, what stock does, what we do instead, the file of the test below the project's root, the test.
type Defect = (u8, &'static str, &'static str, &'static str, &'static str);

const DEFECTS: &[Defect] = &[
    (
        1,
        "`fwmark 0` becomes an address server without an address",
        "it is refused",
        "src/config/tests/servers.rs",
        "groups_become_addresses_first_and_then_marks",
    ),
    (
        2,
        "SNI ignores the virtualhost of the real server, Host does not",
        "both have the same order",
        "src/config/tests/servers.rs",
        "the_name_of_a_page_and_of_its_certificate_have_one_order",
    ),
    (
        3,
        "SMTP_CHECK misses a connect_timeout that follows it",
        "it is inherited as by the others",
        "src/config/tests/servers.rs",
        "a_mail_check_takes_a_connect_timeout_that_follows_it",
    ),
    (
        4,
        "with all weights 0 the quorum is 0 and the hysteresis 4294967295",
        "the quorum is at least 1, the hysteresis 0",
        "src/config/tests/servers.rs",
        "a_quorum_stays_within_reach_and_thresholds_in_order",
    ),
    (
        5,
        "ranges of IPv6 are walked in the last 16 bits only",
        "128 bits, and a limit on the count",
        "src/config/link/servers/claims.rs",
        "ranges_cross_every_border_and_have_a_limit",
    ),
    (
        6,
        "two virtual servers manage one service of a mark, whose families are mixed up",
        "a service has one owner, and its family is part of its name",
        "src/config/link/servers/claims.rs",
        "a_service_has_one_owner",
    ),
    (
        7,
        "ha_suspend with a group: checks never start",
        "any address of the group will do",
        "src/lvs/director/tests.rs",
        "any_address_of_a_group_ends_the_pause",
    ),
    (
        8,
        "a reload that changes the method of a failed server puts it back",
        "only servers in the table are touched",
        "src/lvs/service/tests/reload.rs",
        "a_reload_with_another_method_leaves_a_server_out_that_has_failed",
    ),
    (
        9,
        "changed thresholds are not sent at a reload",
        "they are",
        "src/lvs/service/tests/reload.rs",
        "thresholds_that_a_reload_changes_are_wanted_in_the_kernel",
    ),
    (
        10,
        "2.2.7: a reload that removes an active sorry server leaves the pool empty",
        "who is alive comes back",
        "src/lvs/service/tests/reload.rs",
        "a_reload_that_takes_the_sorry_server_away_puts_the_alive_back",
    ),
    (
        11,
        "mails of a stop (omega) never arrive",
        "they are sent, within the time that a stop may take",
        "tests/lab_ipvs/tells.rs",
        "scripts_fifo_and_mail_tell_the_deaths_that_stock_tells",
    ),
    (
        12,
        "2.4.3 writes a NUL behind each line of a FIFO",
        "a newline only",
        "src/notify/fifo/tests.rs",
        "each_fifo_is_told_what_concerns_it_in_keepalived_s_words",
    ),
    (
        13,
        "a pattern sees the header or not, as packets come",
        "it sees the body only",
        "src/lvs/checker/http/tests.rs",
        "a_pattern_is_searched_in_the_body_across_reads_and_within_its_offsets",
    ),
    (
        14,
        "a bad pattern ends the process at the first check",
        "the configuration is at fault, the checker is dropped",
        "src/config/tests/servers.rs",
        "a_checker_with_a_pattern_that_cannot_be_used_is_removed",
    ),
    (
        15,
        "the options of a host of SMTP_CHECK act on the checker around it",
        "each host is a checker of its own",
        "src/config/tests/servers.rs",
        "a_mail_check_takes_a_connect_timeout_that_follows_it",
    ),
    (
        16,
        "a reload after misc_dynamic said 0 sets the weight to 0 for good",
        "0 adds nothing to the weight",
        "src/lvs/service/tests/told.rs",
        "scripts_set_weights_and_a_reload_keeps_what_they_said",
    ),
    (
        17,
        "a PING_CHECK that cannot bind keeps a socket for each try",
        "it is closed",
        "src/lvs/checker/ping.rs",
        "an_address_that_is_not_ours_costs_no_descriptor",
    ),
    (
        18,
        "FILE_CHECK with weight 0 and reverse is wrong at start and after a reload",
        "the same rule always",
        "src/lvs/service/tests/told.rs",
        "a_number_in_a_file_is_health_or_weight_at_start_as_later",
    ),
    (
        19,
        "a reload adds and removes a server whose FILE_CHECK is at fault",
        "it stays out",
        "src/lvs/service/tests/told.rs",
        "a_reload_keeps_a_server_out_whose_file_says_so",
    ),
    (
        21,
        "an lthreshold above the uthreshold is tried again at every check",
        "the configuration is at fault",
        "src/config/tests/servers.rs",
        "a_quorum_stays_within_reach_and_thresholds_in_order",
    ),
    (
        22,
        "the same virtual server twice: both manage one service",
        "the second one is refused",
        "src/config/tests/servers.rs",
        "a_virtual_server_that_is_there_already_is_refused",
    ),
    (
        23,
        "a lost quorum is mailed as a sum with the wrong comparison",
        "a difference, and why it is not enough",
        "src/lvs/service/tests.rs",
        "mails_are_sent_where_they_are_wanted_with_the_words_of_the_checker",
    ),
    (
        24,
        "a service that is there with other values stays so",
        "it is made what the configuration says",
        "src/lvs/task/unit/tests.rs",
        "what_a_dead_predecessor_left_is_taken_over_and_put_right",
    ),
    (
        25,
        "what others delete never comes back",
        "it does, with the next change or the next look at the table",
        "src/lvs/task/unit/tests.rs",
        "a_flush_is_repaired_by_the_next_change_and_by_the_audit",
    ),
    (
        26,
        "the lengths of UDP_CHECK count with a pattern only",
        "they always do",
        "src/lvs/checker/udp.rs",
        "the_payload_is_sent_and_the_answer_compared_as_far_as_both_go",
    ),
    (
        27,
        "after a crash of the checkers failed servers are put back until they have been checked",
        "who was out stays out until a check finds it well",
        "src/lvs/service/tests/told.rs",
        "who_was_out_when_the_last_run_crashed_stays_out_until_a_check_says_otherwise",
    ),
];

/// A weight that is set by SNMP is cut to eight bits; here nothing is set by SNMP as long as its keyword stands in this file.
const BY_SNMP: (u8, &str, &str) = (20, "src/config/blocks/inert.rs", "\"enable_snmp_checker\"");

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn each_defect_of_stock_has_a_test_of_what_we_do_instead() {
    let mut numbers: Vec<u8> = DEFECTS.iter().map(|d| d.0).collect();
    let (number, path, keyword) = BY_SNMP;
    if text(path).contains(keyword) {
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=27).collect::<Vec<_>>(), "without a gap");
    for (number, _, _, path, test) in DEFECTS {
        let text = text(path);
        let plain = [
            format!("#[test]\nfn {test}()"),
            format!("#[test]\n    fn {test}()"),
        ];
        let waits = format!("#[tokio::test]\n    async fn {test}()");
        // In the list of those that run in a guest.
        let guest = format!("\n    {test}\n");
        let there = plain
            .iter()
            .chain([&waits, &guest])
            .any(|t| text.contains(t.as_str()));
        assert!(there, "{number}: {path} has no test {test}");
    }
}
