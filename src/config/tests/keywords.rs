//! Every keyword of keepalived has a row here, and a good and a bad statement get keepalived's exit code.
//!
//! `keywords.tsv` lists them with what was measured; `KNOWINGLY` lists where we answer otherwise on purpose.

use std::collections::BTreeSet;

use super::super::fake::Fake;
use super::super::source::Code;

/// Block, keyword, statement, and why our exit code is another one.
const KNOWINGLY: &[(&str, &str, &str, &str)] = &[(
    "global_defs",
    "config_save_dir",
    "config_save_dir /dev/null/x",
    "the directory is made when it is written to, not while reading",
)];

/// What the samples refer to.
const PRELUDE: &str = "\
global_defs {\n enable_script_security\n script_user root\n}
vrrp_script S1 {\n script true\n}
track_file F1 {\n file /scratch/f1\n}
vrrp_track_process P1 {\n process sleep\n}
bfd_instance B1 {\n neighbor_ip 192.0.2.99\n}
track_group G1 {\n group {\n V\n }\n}
";

/// Two instances; `@` is where more statements of the first go.
const INSTANCES: &str = "\
vrrp_instance V {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.51/24\n }\n@}
vrrp_instance V2 {\n interface eth1\n dont_track_primary\n virtual_router_id 52\n virtual_ipaddress {\n 192.0.2.52/24\n }\n}
";

/// A virtual server; `@` is where more statements of its only real server go, `%` those of itself.
const SERVER: &str = "\
virtual_server 192.0.2.8 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n%real_server 192.0.2.18 80 {\n weight 1\n@}\n}
";

struct Row {
    block: &'static str,
    keyword: &'static str,
    /// No release reads it any more.
    removed: bool,
    /// Statement and exit code.
    samples: Vec<(String, u8)>,
}

fn rows() -> Vec<Row> {
    let text = include_str!("keywords.tsv");
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.map(row).collect()
}

/// Block and name of every keyword that is still one.
pub(super) fn every_keyword() -> Vec<(&'static str, &'static str)> {
    let alive = rows().into_iter().filter(|row| !row.removed);
    alive.map(|row| (row.block, row.keyword)).collect()
}

/// Block, name and a good statement of every keyword that is still one.
pub(super) fn alive() -> Vec<(&'static str, &'static str, String)> {
    let alive = rows().into_iter().filter(|row| !row.removed);
    let good = |row: Row| Some((row.block, row.keyword, row.samples.into_iter().next()?.0));
    alive.filter_map(good).collect()
}

fn row(line: &'static str) -> Row {
    let f: Vec<&str> = line.split('\t').collect();
    let (block, keyword) = (f[0], f[1]);
    // A line of an inline block is a sample as it stands.
    let inline = is_inline(block);
    let whole = |sample: &str| match inline {
        true => sample.replace("; ", "\n"),
        false => format!("{keyword} {}", sample.replace("; ", "\n")),
    };
    let mut samples = Vec::new();
    let mut add = |text: String, code: &str| {
        if let Ok(code) = code.parse() {
            samples.push((text, code));
        }
    };
    add(whole(f[2]), f[3].trim_end_matches('u'));
    add(whole(f[4]), f[5]);
    if !inline {
        add(keyword.to_owned(), f[6]);
    }
    if !inline && f[2] != "-" {
        add(format!("{0}\n{0}", whole(f[2])), f[7]);
    }
    Row {
        block,
        keyword,
        removed: f[3].ends_with('u'),
        samples,
    }
}

fn is_inline(block: &str) -> bool {
    let last = block.rsplit('/').next().unwrap_or_default();
    last.starts_with("static_")
        || last.starts_with("virtual_ipaddress")
        || [
            "virtual_routes",
            "virtual_rules",
            "unicast_peer",
            "virtual_server_group",
        ]
        .contains(&last)
        || block == "vrrp_instance/use_vmac"
        || (block.contains('/') && last.starts_with("track_"))
}

/// A configuration in which the statement stands in its block.
pub(super) fn file(block: &str, statement: &str) -> String {
    let braces = |name: &str, inside: &str| format!("{name} {{\n{inside}\n}}\n");
    let instances = |more: &str| INSTANCES.replace('@', more);
    let server = |own: &str, real: &str| SERVER.replace('%', own).replace('@', real);
    let group = |more: &str| braces("vrrp_sync_group G", &format!("group {{\nV\nV2\n}}\n{more}"));
    let path: Vec<&str> = block.split('/').collect();
    let body = match path[..] {
        ["(root)"] => format!("{}{statement}\n", instances("")),
        ["vrrp_instance"]
            if statement.contains("unicast") && !statement.contains("unicast_peer") =>
        {
            instances(&format!("{statement}\nunicast_peer {{\n192.0.2.3\n}}\n"))
        }
        ["vrrp_instance"] => instances(&format!("{statement}\n")),
        ["vrrp_instance", "use_vmac"] => instances(&format!("use_vmac {statement}\n")),
        ["vrrp_instance", inner] => instances(&braces(inner, statement)),
        ["vrrp_sync_group"] if statement.starts_with("group") => {
            instances("") + &braces("vrrp_sync_group G", statement)
        }
        ["vrrp_sync_group"] => instances("") + &group(statement),
        ["vrrp_sync_group", inner] => instances("") + &group(&braces(inner, statement)),
        ["vrrp_script"] if statement.starts_with("script") => {
            braces("vrrp_script T", statement) + &instances("")
        }
        ["vrrp_script"] => {
            braces("vrrp_script T", &format!("script true\n{statement}")) + &instances("")
        }
        ["vrrp_track_process"] if statement.starts_with("process") => {
            braces("vrrp_track_process T", statement) + &instances("")
        }
        ["vrrp_track_process"] => {
            braces(
                "vrrp_track_process T",
                &format!("process sleep\n{statement}"),
            ) + &instances("")
        }
        [tf @ ("track_file" | "vrrp_track_file")] if statement.starts_with("file") => {
            braces(&format!("{tf} T"), statement) + &instances("")
        }
        [tf @ ("track_file" | "vrrp_track_file")] => {
            braces(
                &format!("{tf} T"),
                &format!("file /scratch/tf\n{statement}"),
            ) + &instances("")
        }
        ["bfd_instance"] if statement.starts_with("neighbo") => {
            braces("bfd_instance T", statement) + &instances("")
        }
        ["bfd_instance"] => {
            braces(
                "bfd_instance T",
                &format!("neighbor_ip 192.0.2.98\n{statement}"),
            ) + &instances("")
        }
        ["garp_group"] => {
            let interval = if statement.contains("_interval") {
                ""
            } else {
                "garp_interval 0.1\n"
            };
            instances("") + &braces("garp_group", &format!("{interval}{statement}"))
        }
        ["track_group"] => braces("track_group T", statement) + &instances(""),
        ["virtual_server"] if statement.starts_with("sorry_server_") => {
            server(&format!("sorry_server 192.0.2.19 80\n{statement}\n"), "")
        }
        ["virtual_server"] if statement.starts_with("sh-") || statement.starts_with("mh-") => {
            server(&format!("lb_algo {}\n{statement}\n", &statement[..2]), "")
        }
        ["virtual_server"] if statement.starts_with("ops") => {
            server("", "").replace("TCP", &format!("UDP\n{statement}"))
        }
        ["virtual_server"] => server(&format!("{statement}\n"), ""),
        ["virtual_server", "real_server"] => server("", &format!("{statement}\n")),
        ["virtual_server", "real_server", "BFD_CHECK"] if !statement.contains("name") => {
            server("", &braces("BFD_CHECK", &format!("{statement}\nname B1")))
        }
        ["virtual_server", "real_server", "MISC_CHECK"] if !statement.starts_with("misc_path") => {
            server(
                "",
                &braces("MISC_CHECK", &format!("misc_path true\n{statement}")),
            )
        }
        ["virtual_server", "real_server", "FILE_CHECK"] if !statement.contains("track_file") => {
            server(
                "",
                &braces("FILE_CHECK", &format!("{statement}\ntrack_file F1")),
            )
        }
        [
            "virtual_server",
            "real_server",
            http @ ("HTTP_GET" | "SSL_GET"),
        ] if !statement.starts_with("url") => server(
            "",
            &braces(http, &format!("url {{\npath /\n}}\n{statement}")),
        ),
        ["virtual_server", "real_server", checker] => server("", &braces(checker, statement)),
        ["virtual_server", "real_server", checker, "url"] if !statement.starts_with("path") => {
            server(
                "",
                &braces(checker, &braces("url", &format!("path /\n{statement}"))),
            )
        }
        ["virtual_server", "real_server", checker, inner] => {
            server("", &braces(checker, &braces(inner, statement)))
        }
        ["virtual_server_group"] => braces("virtual_server_group T", statement) + &instances(""),
        ["SSL"] | ["global_defs"] => braces(block, statement) + &instances(""),
        [inline] => instances("") + &braces(inline, statement),
        _ => unreachable!("{block}: no such block in the list"),
    };
    // A root statement that defines what the prelude defines comes instead of it.
    let prelude = match (block, statement.starts_with("bfd_instance B1")) {
        ("(root)", true) => PRELUDE.replace("B1", "B0"),
        _ => PRELUDE.to_owned(),
    };
    prelude + &body
}

pub(super) fn machine(text: &str) -> Fake {
    let mut fake = Fake::with(text);
    fake.programs.push("/usr/bin/true".into());
    for file in ["/scratch/f1", "/scratch/inc_ok.conf"] {
        fake.files.insert(file.into(), Vec::new());
    }
    fake
}

#[test]
fn every_keyword_has_a_row_and_gets_the_exit_code_of_stock() {
    let (mut missing, mut wrong) = (BTreeSet::new(), Vec::new());
    for row in rows() {
        for (n, (statement, expected)) in row.samples.iter().enumerate() {
            let loaded = machine(&file(row.block, statement)).load();
            let unknown = format!("Unknown keyword '{}'", row.keyword);
            let no_row = |d: &super::super::source::Diag| {
                d.code == Code::UnknownKeyword && d.text == unknown
            };
            if n == 0 && loaded.diags.iter().any(no_row) != row.removed {
                missing.insert((row.block, row.keyword));
                break;
            }
            let knowingly = KNOWINGLY.iter().any(|(block, keyword, text, _)| {
                (*block, *keyword, *text) == (row.block, row.keyword, statement)
            });
            let ours = loaded.test_exit();
            if (ours == *expected) == knowingly {
                let said: Vec<String> = loaded.messages().map(|(_, m)| m).collect();
                wrong.push(format!(
                    "{} `{statement}`: ours {ours}, stock {expected}\n      {}",
                    row.block,
                    said.join("\n      ")
                ));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "a row is missing, or there is one too many: {missing:#?}"
    );
    assert!(
        wrong.is_empty(),
        "{} samples:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
