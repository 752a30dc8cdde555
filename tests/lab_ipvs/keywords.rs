//! Every keyword of virtual servers and their checkers is in a configuration that is played beside stock, or it is said
//! where else it is tried.

use std::collections::BTreeSet;
use std::path::Path;

/// All keywords, by block.
const KEYWORDS: &str = include_str!("../../src/config/tests/keywords.tsv");

const VIRTUAL: &str = "virtual_server";
const HOST: &str = "virtual_server/real_server/SMTP_CHECK/host";
const FIXED: &str = "a port that was used rests for a minute: src/config/tests/keywords.rs, UDP_CHECK in servers.rs";
const OFFSETS: &str = "keepalived counts from where packets begin: src/lvs/checker/http/tests.rs";
const SESSION: &str = "no session is run yet: src/lvs/service/tests/told.rs";

/// Block below that of virtual servers, keyword, where it is tried instead.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("", "nat_mask", "it is gone: src/config/tests/keywords.rs"),
    ("/real_server", "BFD_CHECK", SESSION),
    ("/real_server/BFD_CHECK", "name", SESSION),
    ("/real_server/BFD_CHECK", "alpha", SESSION),
    ("/real_server/TCP_CHECK", "bind_port", FIXED),
    ("/real_server/HTTP_GET", "bind_port", FIXED),
    ("/real_server/SSL_GET", "bind_port", FIXED),
    ("/real_server/SMTP_CHECK", "bind_port", FIXED),
    ("/real_server/HTTP_GET/url", "regex_min_offset", OFFSETS),
    ("/real_server/HTTP_GET/url", "regex_max_offset", OFFSETS),
    ("/real_server/SSL_GET/url", "regex_min_offset", OFFSETS),
    ("/real_server/SSL_GET/url", "regex_max_offset", OFFSETS),
    (
        "/real_server/SMTP_CHECK",
        "host",
        "keepalived times out: src/config/tests/servers.rs, and so for all that stands in it",
    ),
    (
        "/real_server/FILE_CHECK",
        "dynamic",
        "nobody knows it: src/config/tests/keywords.rs",
    ),
];

/// Each keyword with the block that it stands in.
fn used(conf: &str) -> BTreeSet<(String, String)> {
    let mut used = BTreeSet::new();
    let mut blocks: Vec<&str> = Vec::new();
    for line in conf.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["}", ..] => drop(blocks.pop()),
            [keyword, rest @ ..] => {
                let block = blocks.join("/");
                used.insert((block, (*keyword).to_owned()));
                if rest.last() == Some(&"{") {
                    blocks.push(keyword);
                }
            }
        }
    }
    used
}

#[test]
fn every_keyword_of_virtual_servers_is_played_beside_stock() {
    let dir = Path::new("/nowhere");
    let mut confs = crate::many::story::configurations();
    confs.extend([
        include_str!("features.conf").to_owned(),
        include_str!("options.conf").to_owned(),
        crate::servers::story::conf(dir),
        crate::tells::story::conf(dir, |_, _| true),
        crate::wire::story::conf(),
    ]);
    let mut used: BTreeSet<_> = confs.iter().flat_map(|conf| used(conf)).collect();
    for (block, keyword, _) in ELSEWHERE {
        let new = used.insert((format!("{VIRTUAL}{block}"), (*keyword).to_owned()));
        assert!(new, "{block}: {keyword} is played by now");
    }
    let mut missing = Vec::new();
    for line in KEYWORDS.lines() {
        let mut columns = line.split('\t');
        let (Some(block), Some(keyword)) = (columns.next(), columns.next()) else {
            continue;
        };
        let ours = (block.starts_with(VIRTUAL) && block != HOST) || block == "SSL";
        let there = used.contains(&(block.to_owned(), keyword.to_owned()));
        if ours && keyword != "(entry)" && !there {
            missing.push(format!("{block}: {keyword}"));
        }
    }
    assert!(missing.is_empty(), "nowhere: {missing:#?}");
}
