//! keepalived.conf(5) and the table in the README are made of the keyword lists, so that they cannot lag behind.
//!
//! `packaging/man/keywords.tsv` has the words; which keywords there are, and which have no effect yet, is told by the
//! tables. `UPDATE_GOLDEN=1` writes both files anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::config::blocks::inert::INERT;

const PAGE: &str = "packaging/man/keepalived.conf.5";
const README: &str = "README.md";

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    block: &'static str,
    keyword: &'static str,
    grammar: &'static str,
    unit: &'static str,
    range: &'static str,
    default: &'static str,
    effect: &'static str,
}

/// Blocks in the order of the page, and what they are for. `(any)`: wherever a statement may stand.
const BLOCKS: &[(&str, &str)] = &[
    ("(root)", "Statements outside of all blocks."),
    (
        "global_defs",
        "What concerns the daemon as a whole, and defaults of what follows.",
    ),
    (
        "vrrp_instance",
        "A virtual router: the addresses it stands for, and how it agrees with the others on who carries them.",
    ),
    (
        "vrrp_instance/virtual_ipaddress",
        "Words of a line of addresses.",
    ),
    ("vrrp_instance/virtual_ipaddress_excluded", ""),
    (
        "static_ipaddress",
        "Addresses that stand as long as the daemon runs.",
    ),
    (
        "vrrp_instance/virtual_routes",
        "Words of a line of routes. The order is that of ip-route(8).",
    ),
    ("static_routes", ""),
    (
        "vrrp_instance/virtual_rules",
        "Words of a line of rules. The order is that of ip-rule(8).",
    ),
    ("static_rules", ""),
    ("vrrp_instance/authentication", ""),
    ("vrrp_instance/auth_hmac", ""),
    ("vrrp_instance/use_vmac", ""),
    ("vrrp_instance/unicast_peer", ""),
    ("vrrp_instance/track_interface", ""),
    ("vrrp_instance/track_script", ""),
    ("vrrp_instance/track_file", ""),
    ("vrrp_instance/track_process", ""),
    ("vrrp_instance/track_bfd", ""),
    ("vrrp_sync_group", "Instances that change state together."),
    ("vrrp_sync_group/track_interface", ""),
    ("vrrp_sync_group/track_script", ""),
    ("vrrp_sync_group/track_file", ""),
    ("vrrp_sync_group/track_process", ""),
    ("vrrp_sync_group/track_bfd", ""),
    (
        "vrrp_script",
        "A command that is run again and again; its exit status counts.",
    ),
    ("vrrp_track_process", "Processes that must be there."),
    ("track_file", "A file with a number in it."),
    ("vrrp_track_file", ""),
    (
        "track_group",
        "Instances that a static address, route or rule belongs to.",
    ),
    (
        "garp_group",
        "Interfaces that share a limit on gratuitous ARP.",
    ),
    ("bfd_instance", "A BFD session with a neighbour."),
    ("virtual_server", "A service of the kernel's IPVS."),
    (
        "virtual_server_group",
        "Addresses and marks that one virtual_server stands for.",
    ),
    (
        "virtual_server/real_server",
        "A server behind it. One checker block or more decide whether it lives.",
    ),
    (
        "virtual_server/real_server/TCP_CHECK",
        "Lives if it takes a connection.",
    ),
    (
        "virtual_server/real_server/UDP_CHECK",
        "Lives unless a port is said to be closed, or if it answers.",
    ),
    (
        "virtual_server/real_server/HTTP_GET",
        "Lives if its pages are as expected.",
    ),
    ("virtual_server/real_server/HTTP_GET/url", ""),
    (
        "virtual_server/real_server/SSL_GET",
        "As HTTP_GET, with TLS.",
    ),
    ("virtual_server/real_server/SSL_GET/url", ""),
    (
        "virtual_server/real_server/SMTP_CHECK",
        "Lives if it speaks SMTP.",
    ),
    ("virtual_server/real_server/SMTP_CHECK/host", ""),
    (
        "virtual_server/real_server/DNS_CHECK",
        "Lives if it answers a DNS question.",
    ),
    (
        "virtual_server/real_server/PING_CHECK",
        "Lives if it answers ICMP echo requests.",
    ),
    (
        "virtual_server/real_server/MISC_CHECK",
        "Lives if a command says so.",
    ),
    (
        "virtual_server/real_server/FILE_CHECK",
        "Lives as a tracked file says.",
    ),
    (
        "virtual_server/real_server/BFD_CHECK",
        "Lives as long as a BFD session does.",
    ),
    ("SSL", "Certificates that SSL_GET shows."),
    ("(any)", "What may stand anywhere."),
];

fn words() -> Vec<Word> {
    let text = include_str!("../../../packaging/man/keywords.tsv");
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|line| {
            let f: Vec<&str> = line.split('\t').collect();
            let [block, keyword, grammar, unit, range, default, effect] = f[..] else {
                panic!("not seven fields: {line}");
            };
            Word {
                block,
                keyword,
                grammar,
                unit,
                range,
                default,
                effect,
            }
        })
        .collect()
}

/// Whether a keyword is read without effect, or stands in a block of which that is true.
fn inert(word: &Word) -> bool {
    let block = if word.block == "(root)" {
        ""
    } else {
        word.block
    };
    let is = |block: &str, keyword: &str| {
        let mut lists = INERT.iter().filter(|(name, _)| *name == block);
        lists.any(|(_, keywords)| keywords.contains(&keyword))
    };
    let mut outer = block;
    let around = std::iter::from_fn(|| {
        let (parent, name) = outer.rsplit_once('/').unwrap_or(("", outer));
        outer = parent;
        (!name.is_empty()).then_some((parent, name))
    });
    is(block, word.keyword) || around.into_iter().any(|(parent, name)| is(parent, name))
}

/// For roff: a backslash and a leading dot mean something there.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// The entry of one word.
fn entry(word: &Word) -> String {
    let mut out = String::from(".TP\n");
    _ = write!(out, "\\fB{}\\fR", plain(word.keyword));
    if !word.grammar.is_empty() && !word.keyword.starts_with('(') {
        _ = write!(out, " {}", plain(word.grammar));
    }
    let mut effect = word.effect.to_owned();
    if let Some(first) = effect.get(..1) {
        effect.replace_range(..1, &first.to_uppercase());
    }
    _ = write!(out, "\n{}.", plain(&effect));
    let of_unit = |what: &str| match word.unit {
        "" => plain(what),
        unit => format!("{} ({})", plain(what), plain(unit)),
    };
    if !word.range.is_empty() {
        _ = write!(out, " Range: {}.", of_unit(word.range));
    }
    if !word.default.is_empty() {
        _ = write!(out, " Default: {}.", plain(word.default));
    }
    if inert(word) {
        out.push_str(" \\fINo effect yet; a warning says so.\\fR");
    }
    out.push('\n');
    out
}

fn page() -> String {
    let words = words();
    let mut out = include_str!("../../../packaging/man/keepalived.conf.head").to_owned();
    let mut shown: BTreeMap<Vec<String>, &str> = BTreeMap::new();
    for (block, about) in BLOCKS {
        let own: Vec<String> = words
            .iter()
            .filter(|w| w.block == *block)
            .map(entry)
            .collect();
        let title = match *block {
            "(root)" => "TOP LEVEL".to_owned(),
            "(any)" => "EVERYWHERE".to_owned(),
            block => block.replace('/', " / "),
        };
        _ = writeln!(
            out,
            ".SH {}",
            plain(&title).to_uppercase().replace("\\E", "\\e")
        );
        if !about.is_empty() {
            _ = writeln!(out, "{}", plain(about));
        }
        match shown.get(&own) {
            Some(same) => _ = writeln!(out, "As\n.BR {} .", plain(same)),
            None => {
                out.extend(own.iter().map(String::as_str));
                shown.insert(own, block);
            }
        }
    }
    out + include_str!("../../../packaging/man/keepalived.conf.tail")
}

/// One line for each block: how many keywords there are, and which of them have no effect yet.
fn table() -> String {
    let words = words();
    let mut out = String::from(
        "| block | keywords | with effect | read and warned about, no effect yet |\n|---|--:|--:|---|\n",
    );
    let (mut all, mut idle) = (0, 0);
    for (block, _) in BLOCKS.iter().filter(|(block, _)| *block != "(any)") {
        let own: Vec<&Word> = words.iter().filter(|w| w.block == *block).collect();
        let without: Vec<String> = own
            .iter()
            .filter(|w| inert(w))
            .map(|w| format!("`{}`", w.keyword))
            .collect();
        (all, idle) = (all + own.len(), idle + without.len());
        let name = match *block {
            "(root)" => "top level".to_owned(),
            block => format!("`{block}`"),
        };
        let with = own.len() - without.len();
        _ = writeln!(
            out,
            "| {name} | {} | {with} | {} |",
            own.len(),
            without.join(" ")
        );
    }
    _ = writeln!(
        out,
        "| **all** | **{all}** | **{}** | **{idle}** |",
        all - idle
    );
    out
}

/// Compares a file of the project with what it should be, or writes it.
fn golden(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|word| !word.is_empty()) {
        return fs::write(&path, wanted).expect("the project's own file");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    assert!(
        there == wanted,
        "{} is out of date (UPDATE_GOLDEN=1 writes it anew): {differs:?}",
        path.display()
    );
}

#[test]
fn the_manual_page_has_every_keyword() {
    let listed: BTreeSet<(&str, &str)> = words().iter().map(|w| (w.block, w.keyword)).collect();
    let known = super::keywords::every_keyword();
    // What stands in brackets is no word but a remark.
    let words = known.iter().filter(|(_, word)| !word.starts_with('('));
    let missing: Vec<_> = words.filter(|key| !listed.contains(*key)).collect();
    assert!(missing.is_empty(), "not in keywords.tsv: {missing:?}");
    let blocks: BTreeSet<&str> = BLOCKS.iter().map(|(block, _)| *block).collect();
    let strange: Vec<_> = listed
        .iter()
        .filter(|(block, _)| !blocks.contains(block))
        .collect();
    assert!(strange.is_empty(), "in no block of the page: {strange:?}");
    golden(PAGE, &page());
}

#[test]
fn the_readme_counts_the_keywords() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(README);
    let text = fs::read_to_string(path).expect("the project's own file");
    let (begin, end) = ("<!-- keywords -->\n", "<!-- /keywords -->");
    let (before, rest) = text.split_once(begin).expect("where the table begins");
    let (_, after) = rest.split_once(end).expect("where it ends");
    golden(README, &format!("{before}{begin}{}{end}{after}", table()));
}
