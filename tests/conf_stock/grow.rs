//! Random configuration files, grown from the list of keywords.
//!
//! Most statements of a file are good, a few are not: where everything is wrong, one exit code says nothing. The list is
//! that of the unit tests: block, keyword, a good and a bad sample (`; ` is the end of a line).

#[path = "../lab/dice.rs"]
mod dice;

use std::collections::HashSet;

use dice::Dice as Numbers;

/// Statements that 2.2.7 reads otherwise than 2.4, or not at all; ours is 2.4. Block and keyword.
const NEWER: &[(&str, &str)] = &[
    // Not known to 2.2.7.
    ("global_defs", "use_symlink_paths"),
    ("global_defs", "set_supplementary_groups"),
    ("global_defs", "v3_checksum_as_v2"),
    ("global_defs", "snmp_vs_stats_update_interval"),
    ("global_defs", "snmp_rs_stats_update_interval"),
    ("global_defs", "dbus_no_interface_name"),
    ("global_defs", "vrrp_delay_after_boot"),
    ("global_defs", "vrrp_owner_ignore_adverts"),
    ("global_defs", "json_version"),
    ("global_defs", "iproute_usr_dir"),
    ("global_defs", "iproute_etc_dir"),
    ("global_defs", "state_dump_file"),
    ("global_defs", "stats_dump_file"),
    ("global_defs", "json_dump_file"),
    ("vrrp_instance", "no_virtual_ipaddress"),
    ("vrrp_instance", "v3_checksum_as_v2"),
    ("vrrp_instance", "timer_expired_backup"),
    ("vrrp_instance", "thread_timer_expired"),
    ("vrrp_instance", "owner_ignore_adverts"),
    ("vrrp_instance", "auth_hmac"),
    ("vrrp_instance", "use_vmac"),
    ("virtual_server/real_server/HTTP_GET", "sni_name"),
    ("virtual_server/real_server/SSL_GET", "sni_name"),
    ("virtual_server/real_server/SSL_GET", "tls_compliant"),
    ("virtual_server/real_server/SSL_GET/url", "tls_compliant"),
    ("virtual_server/real_server/FILE_CHECK", "dynamic"),
    ("bfd_instance", "multihop"),
    // Debian's 2.2.7 is built without iptables.
    ("global_defs", "vrrp_iptables"),
    ("global_defs", "vrrp_ipsets"),
    // Whole seconds in 2.2.7.
    ("vrrp_script", "interval"),
    ("vrrp_script", "timeout"),
    // Other words or other answers to a bad value.
    ("global_defs", "notification_email_from"),
    ("global_defs", "vrrp_skip_check_adv_addr"),
    ("global_defs", "vrrp_strict"),
    ("track_file", "file"),
    ("vrrp_track_file", "file"),
    ("virtual_server", "virtualhost"),
    ("virtual_server", "snmp_name"),
    ("virtual_server/real_server", "virtualhost"),
    ("virtual_server/real_server", "snmp_name"),
    ("virtual_server/real_server/HTTP_GET", "virtualhost"),
    ("virtual_server/real_server/HTTP_GET/url", "path"),
    ("virtual_server/real_server/HTTP_GET/url", "virtualhost"),
    ("virtual_server/real_server/HTTP_GET/url", "regex"),
    ("virtual_server/real_server/SSL_GET", "virtualhost"),
    ("virtual_server/real_server/SSL_GET/url", "path"),
    ("virtual_server/real_server/SSL_GET/url", "virtualhost"),
    ("virtual_server/real_server/SSL_GET/url", "regex"),
    ("virtual_server/real_server/SMTP_CHECK", "helo_name"),
    // It makes the directory, also with -t.
    ("global_defs", "config_save_dir"),
    // 2.2.7 ends itself when a script's user is not the one who tests.
    ("global_defs", "script_user"),
    ("vrrp_script", "user"),
    ("virtual_server/real_server/MISC_CHECK", "user"),
];

/// Words of address, route and rule lines of which the same is true.
const NEWER_WORDS: &[&str] = &["rtt", "rttvar", "rto_min", "nexthop", "or", "(type)"];

/// Choices of which some are bad.
pub(crate) struct Dice {
    numbers: Numbers,
    /// One in so many statements is bad.
    care: usize,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self {
            numbers: Numbers(seed),
            care: 6,
        };
        // Most people get most of it right.
        if !dice.one_in(4) {
            dice.care = 60;
        }
        dice
    }

    /// `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.numbers.below(n)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        self.numbers.pick(of)
    }
}

/// A keyword with its samples.
struct Row {
    block: &'static str,
    keyword: &'static str,
    good: Option<&'static str>,
    bad: Option<&'static str>,
}

/// What files are grown from.
pub(crate) struct Seeds(Vec<Row>);

/// Whether the samples of a block are whole lines.
fn is_inline(block: &str) -> bool {
    let last = block.rsplit('/').next().unwrap_or_default();
    let named = [
        "virtual_routes",
        "virtual_rules",
        "unicast_peer",
        "virtual_server_group",
    ];
    last.starts_with("static_")
        || last.starts_with("virtual_ipaddress")
        || named.contains(&last)
        || (block.contains('/') && last.starts_with("track_"))
}

impl Seeds {
    pub(crate) fn new() -> Self {
        let text = include_str!("../../src/config/tests/keywords.tsv");
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        let rows = lines.filter_map(|line| {
            let f: Vec<&'static str> = line.split('\t').collect();
            let sample = |text: usize, code: usize| (f[code] != "-").then_some(f[text]);
            let removed = f[3].ends_with('u');
            let newer = NEWER.contains(&(f[0], f[1]))
                || is_inline(f[0]) && NEWER_WORDS.contains(&f[1])
                || f[0] == "vrrp_instance/use_vmac"
                || f[0] == "vrrp_instance/auth_hmac";
            (!newer && !removed).then_some(Row {
                block: f[0],
                keyword: f[1],
                good: sample(2, 3),
                bad: sample(4, 5),
            })
        });
        Self(rows.collect())
    }

    /// `n` statements of a block.
    fn some(&self, dice: &mut Dice, block: &str, n: usize) -> Vec<String> {
        let rows: Vec<&Row> = self.0.iter().filter(|r| r.block == block).collect();
        let mut made = Vec::new();
        for _ in 0..n {
            let row = dice.pick(&rows);
            let statement = statement(dice, row, is_inline(block));
            let again = dice.one_in(dice.care * 4);
            made.push(statement.clone());
            if again {
                made.push(statement);
            }
        }
        made
    }

    /// One file. `dir`: where the files are that samples name.
    pub(crate) fn file(&self, dice: &mut Dice, dir: &str) -> String {
        let mut text = String::new();
        text += "$N=5\n";
        if dice.one_in(4) {
            text += "$IF=eth0\n$VIP=192.0.2.51/24\n$M= \\\n  priority 120 \\\n  advert_int 2\n\n";
        }
        text += &self.globals(dice);
        text += TRACKERS;
        for n in 0..dice.below(3) {
            let block = dice.pick(&[
                "vrrp_script",
                "track_file",
                "vrrp_track_process",
                "bfd_instance",
            ]);
            let name = format!("T{n}");
            let must = match block {
                "vrrp_script" => "script true",
                "track_file" => "file /scratch/tf",
                "vrrp_track_process" => "process sleep",
                _ => "neighbor_ip 192.0.2.98",
            };
            let count = dice.below(3);
            let mut inside = self.some(dice, block, count);
            inside.push(must.into());
            text += &block_of(dice, &format!("{block} {name}"), &inside);
        }
        for n in 1..=dice.below(3) {
            text += &self.instance(dice, n);
        }
        if dice.one_in(3) {
            let count = dice.below(3);
            let mut inside = self.some(dice, "vrrp_sync_group", count);
            if !dice.one_in(12) {
                inside.push("group {\nV1\nV2\n}".into());
            }
            text += &block_of(dice, "vrrp_sync_group G", &inside);
        }
        for block in ["static_ipaddress", "static_routes", "static_rules"] {
            if dice.one_in(6) {
                let count = 1 + dice.below(3);
                let inside = self.lines(dice, block, count);
                text += &block_of(dice, block, &inside);
            }
        }
        if dice.one_in(6) {
            let count = dice.below(2);
            let mut inside = self.some(dice, "garp_group", count);
            inside.push("garp_interval 0.1".into());
            text += &block_of(dice, "garp_group", &inside);
        }
        for n in 0..dice.below(3) {
            text += &self.server(dice, n);
        }
        let count = dice.below(2);
        for statement in self.some(dice, "(root)", count) {
            text += &format!("{statement}\n");
        }
        if dice.one_in(dice.care / 2) {
            text = mangle(dice, &text);
        }
        text.replace("/scratch", dir)
    }

    fn globals(&self, dice: &mut Dice) -> String {
        let count = dice.below(5);
        let mut inside = self.some(dice, "global_defs", count);
        if !dice.one_in(10 + dice.care) {
            inside.push("enable_script_security".into());
            inside.push("script_user root".into());
        }
        block_of(dice, "global_defs", &inside)
    }

    fn instance(&self, dice: &mut Dice, n: usize) -> String {
        let mut inside = Vec::new();
        let must = [
            format!("interface eth{}", n - 1),
            format!("virtual_router_id {}", 50 + n),
            format!("virtual_ipaddress {{\n192.0.2.{}/24\n}}", 50 + n),
        ];
        inside.extend(must.into_iter().filter(|_| !dice.one_in(dice.care * 5)));
        let count = dice.below(5);
        inside.extend(self.some(dice, "vrrp_instance", count));
        for block in [
            "authentication",
            "virtual_ipaddress",
            "virtual_ipaddress_excluded",
            "virtual_routes",
            "virtual_rules",
            "unicast_peer",
            "track_interface",
            "track_script",
            "track_file",
            "track_process",
            "track_bfd",
        ] {
            if dice.one_in(12) {
                let path = format!("vrrp_instance/{block}");
                let count = 1 + dice.below(2);
                let lines = match is_inline(&path) {
                    true => self.lines(dice, &path, count),
                    false => self.some(dice, &path, count),
                };
                inside.push(block_of(dice, block, &lines));
            }
        }
        block_of(dice, &format!("vrrp_instance V{n}"), &inside)
    }

    /// Lines of a block without keywords; at times the words of two in one.
    fn lines(&self, dice: &mut Dice, block: &str, n: usize) -> Vec<String> {
        let mut lines = self.some(dice, block, n);
        // One address twice is another matter, and 2.4 answers it otherwise.
        let mut seen = HashSet::new();
        lines.retain(|l| seen.insert(l.split([' ', '/']).next().map(str::to_owned)));
        if dice.one_in(3) {
            let more = self.some(dice, block, 1).remove(0);
            let tail: Vec<&str> = more.split(' ').skip(1).collect();
            if let Some(last) = lines.last_mut().filter(|l| !l.contains('\n')) {
                *last += &format!(" {}", tail.join(" "));
            }
        }
        lines
    }

    fn server(&self, dice: &mut Dice, n: usize) -> String {
        let mut inside: Vec<String> = ["lb_algo rr", "lb_kind NAT", "protocol TCP"]
            .iter()
            .filter(|_| !dice.one_in(20))
            .map(|s| (*s).to_owned())
            .collect();
        let count = dice.below(3);
        inside.extend(self.some(dice, "virtual_server", count));
        for r in 0..1 + dice.below(2) {
            let count = dice.below(3);
            let mut real = self.some(dice, "virtual_server/real_server", count);
            if dice.one_in(2) {
                real.push(self.checker(dice));
            }
            inside.push(block_of(
                dice,
                &format!("real_server 192.0.2.{} 80", 18 + r),
                &real,
            ));
        }
        block_of(
            dice,
            &format!("virtual_server 192.0.2.{} 80", 8 + n),
            &inside,
        )
    }

    fn checker(&self, dice: &mut Dice) -> String {
        let kind = dice.pick(&[
            "TCP_CHECK",
            "HTTP_GET",
            "SSL_GET",
            "SMTP_CHECK",
            "DNS_CHECK",
            "MISC_CHECK",
            "UDP_CHECK",
            "BFD_CHECK",
            "FILE_CHECK",
            "PING_CHECK",
        ]);
        let path = format!("virtual_server/real_server/{kind}");
        let count = dice.below(4);
        let mut inside = self.some(dice, &path, count);
        match kind {
            "HTTP_GET" | "SSL_GET" => {
                let mut url = self.some(dice, &format!("{path}/url"), 1);
                url.push("path /".into());
                inside.push(block_of(dice, "url", &url));
            }
            "MISC_CHECK" => inside.push("misc_path true".into()),
            "BFD_CHECK" => inside.push("name B1".into()),
            "FILE_CHECK" => inside.push("track_file F1".into()),
            _ => {}
        }
        block_of(dice, kind, &inside)
    }
}

/// What the samples refer to.
const TRACKERS: &str = "\
vrrp_script S1 {\n script true\n}
track_file F1 {\n file /scratch/f1\n}
vrrp_track_process P1 {\n process sleep\n}
bfd_instance B1 {\n neighbor_ip 192.0.2.99\n}
";

/// Values that are interesting to somebody.
const VALUES: &[&str] = &[
    "0",
    "1",
    "2",
    "255",
    "256",
    "65535",
    "65536",
    "-1",
    "4294967295",
    "4294967296",
    "2147483648",
    "007",
    "+5",
    "0x10",
    "1.5",
    ".5",
    "1.",
    "0.0000001",
    "1e3",
    "10x",
    "3s",
    "\"\"",
    "foo",
    "on",
    "off",
    "yes",
    "On",
    "eth0",
    "eth1",
    "lo",
    "nosuch0",
    "192.0.2.9",
    "192.0.2.9/24",
    "192.0.2.9/33",
    "192.0.2.300",
    "10.1",
    "2001:db8::9",
    "2001:db8::9/64",
    "::ffff:192.0.2.1",
    "fe80::1%eth0",
    "\"a b\"",
    "'a b'",
    "a\"b\"c",
    "root",
    "nosuchuser",
    "TCP",
    "$N",
    "${N}",
    "100000",
    "300",
    "1000",
    "0.01",
    "40.95",
    "41",
];

fn statement(dice: &mut Dice, row: &Row, inline: bool) -> String {
    let sample = match (row.good, row.bad) {
        (Some(good), Some(bad)) => match dice.one_in(dice.care) {
            true => bad,
            false => good,
        },
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "",
    };
    let whole = match inline {
        true => sample.to_owned(),
        false => format!("{} {sample}", row.keyword),
    };
    let whole = whole.replace("; ", "\n");
    if whole.contains('{') || !dice.one_in(dice.care) {
        return whole;
    }
    let mut words: Vec<&str> = whole.split_whitespace().collect();
    let at = dice.below(words.len().max(1));
    match dice.below(6) {
        0 if words.len() > 1 => _ = words.pop(),
        1 => words.push(dice.pick(VALUES)),
        2 => words.insert(at, dice.pick(VALUES)),
        _ if words.len() > 1 => {
            let at = 1 + dice.below(words.len() - 1);
            words[at] = dice.pick(VALUES);
        }
        _ => {}
    }
    words.join(" ")
}

/// A block, its braces and its lines placed as people do.
fn block_of(dice: &mut Dice, header: &str, inside: &[String]) -> String {
    let open = match dice.below(12) {
        0 => "\n{\n",
        1 => "{\n",
        2 => " { # what follows\n",
        _ => " {\n",
    };
    let mut text = format!("{header}{open}");
    for statement in inside {
        text += "    ";
        text += statement.trim_end();
        text += match dice.below(20) {
            0 => "  # a comment\n",
            1 => " ! a comment { \"\n",
            2 => "\t\r\n",
            3 => "\n\n",
            _ => "\n",
        };
    }
    text += match dice.below(20) {
        0 => "}",
        _ => "}\n",
    };
    if text.ends_with('}') {
        text += "\n";
    }
    text
}

/// One thing that is wrong with the text as such, or merely unusual.
fn mangle(dice: &mut Dice, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = dice.below(lines.len());
    let line = lines[at].clone();
    match dice.below(14) {
        0 => lines.insert(at, "no_such_keyword x y".into()),
        1 => _ = lines.remove(at),
        2 => lines.insert(at, line),
        3 => lines[at] = format!("@node1 {line}"),
        4 => lines[at] = format!("@^node1 {line}"),
        5 => lines[at] = format!("@other {line}"),
        6 => lines.push("}".into()),
        7 => lines[at] = format!("~SEQ(x, 1, 3) {line}"),
        8 => lines[at] = line.replacen("eth0", "$IF", 1),
        9 => lines.insert(at, "$IF=eth1".into()),
        10 => lines[at] = line.replacen(' ', "  \u{a0}", 1),
        11 => lines[at] = line.trim_end_matches(" {").to_owned(),
        12 => lines.insert(at, "~LST(y, 1, 2) # ${y}".into()),
        _ => lines.insert(at, "include /scratch/nothing*.conf".into()),
    }
    lines.join("\n") + "\n"
}
