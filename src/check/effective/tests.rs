//! What is written is read back as the same model, and written the same again.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Secrets, emit};
use crate::check::finding::Node;
use crate::config::fake::{Fake, MAIN};
use crate::config::{LoadOptions, load};

/// Random files that stock keepalived is asked about, too.
#[path = "../../../tests/conf_stock/grow.rs"]
mod grow;

/// Files that are not read back as they were, and why.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "328-devtools-test-t.conf",
        "a virtual server that cannot be used counts among those that use its group",
    ),
    (
        "164-devtools-use-vmac.conf",
        "a VMAC for an address beside that of its instance, both above one interface, is written as one",
    ),
    (
        "258-devtools-850p.conf",
        "two real servers become one when their ports are set to that of the virtual server",
    ),
];

/// A machine where everything that the text names exists.
fn machine(text: &[u8]) -> Fake {
    let mut fake = Fake::with(text);
    // Groups are those of users that the text names.
    let named = "\nuser root\nuser somebody\n";
    fake.scripts_in = Some(String::from_utf8_lossy(text).into_owned() + named);
    fake.interfaces = None;
    fake.users = None;
    // So that the directory exists.
    fake.programs.push("/tmp/x".into());
    fake
}

fn node(fake: &Fake, id: Option<&str>) -> Node {
    let options = LoadOptions {
        path: MAIN.into(),
        config_id: id.map(Into::into),
        in_namespace: true,
        strict_includes: false,
    };
    Node {
        number: 0,
        name: MAIN.into(),
        loaded: load(&options, fake),
        options,
    }
}

/// The page without what is behind the values.
fn bare(page: &str) -> String {
    let lines = page.lines().map(|line| match line.rsplit_once("# ") {
        Some((value, "default")) => value.trim_end(),
        Some((value, place))
            if place
                .rsplit_once(':')
                .is_some_and(|(_, n)| n.parse::<u32>().is_ok()) =>
        {
            value.trim_end()
        }
        Some(_) | None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What is wrong with the way there and back.
fn fault(mut fake: Fake, id: Option<&str>) -> Option<String> {
    let first = node(&fake, id);
    let page = emit(&first, &fake, Secrets::Shown);
    fake.files.insert(MAIN.into(), page.clone().into_bytes());
    let second = node(&fake, id);
    if first.loaded.config != second.loaded.config {
        let (a, b) = (&first.loaded.config, &second.loaded.config);
        let (a, b) = (format!("{a:#?}"), format!("{b:#?}"));
        let differs = a.lines().zip(b.lines()).find(|(x, y)| x != y);
        let said: Vec<_> = second.loaded.messages().map(|(_, m)| m).collect();
        return Some(format!("{differs:?}\n{}", said.join("\n")));
    }
    let again = emit(&second, &fake, Secrets::Shown);
    let (page, again) = (bare(&page), bare(&again));
    let differs = page.lines().zip(again.lines()).find(|(x, y)| x != y);
    differs.map(|d| format!("written otherwise: {d:?}"))
}

fn below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            below(&path, found);
        } else if path.extension().is_some_and(|e| e == "conf") {
            found.push(path);
        }
    }
}

/// Files of the project that are configurations.
fn own() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in ["examples", "tests"] {
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut found);
    }
    found
}

/// Published files, see `config::tests::corpus`.
fn published() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("KEEPALIVED_CORPUS").map_or(beside, PathBuf::from);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.join("conf")).into_iter().flatten() {
        found.extend(entry.ok().map(|e| e.path()));
    }
    found.retain(|p| p.extension().is_some_and(|e| e == "conf"));
    found.sort();
    found
}

fn add(fake: &mut Fake, root: &Path, dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            add(fake, root, &path);
        } else if let (Ok(inside), Ok(content)) = (path.strip_prefix(root), fs::read(&path)) {
            let text = String::from_utf8_lossy(&content).into_owned();
            fake.scripts_in.get_or_insert_default().push_str(&text);
            fake.files.insert(Path::new("/").join(inside), content);
        }
    }
}

#[test]
fn every_value_says_where_it_comes_from() {
    let text = "global_defs {\n vrrp_garp_master_repeat 3\n}\nvrrp_instance \"V 1\" {\n interface eth0\n virtual_router_id 51\n \
                authentication {\n auth_type PASS\n auth_pass s3#ret\n }\n advert_int 2\n advert_int x\n virtual_ipaddress {\n \
                10.0.0.1 label eth0:1\n bad\n }\n}\n";
    let mut fake = Fake::with(text);
    fake.users = Some(Vec::new());
    let page = emit(&node(&fake, None), &fake, Secrets::Masked);
    let line = |start: &str| {
        let found = page.lines().find(|l| l.trim_start().starts_with(start));
        let words: Vec<_> = found.unwrap_or_default().split_whitespace().collect();
        words.join(" ")
    };
    let file = "# /etc/keepalived/keepalived.conf";
    assert_eq!(
        line("vrrp_garp_master_repeat"),
        format!("vrrp_garp_master_repeat 3 {file}:2")
    );
    assert_eq!(
        line("garp_master_repeat"),
        format!("garp_master_repeat 3 {file}:2")
    );
    assert_eq!(
        line("vrrp_instance"),
        format!("vrrp_instance \"V 1\" {{ {file}:4")
    );
    assert_eq!(line("advert_int"), format!("advert_int 2 {file}:11"));
    assert_eq!(line("auth_pass"), format!("auth_pass ******** {file}:9"));
    assert_eq!(line("priority"), "priority 100 # default");
    assert_eq!(
        line("10.0.0.1"),
        format!("10.0.0.1/32 dev eth0 label eth0:1 scope 0 preferred_lft forever {file}:14")
    );
    assert_eq!(line("# nopreempt"), "# nopreempt: off");
}

#[expect(
    clippy::print_stderr,
    reason = "the count of what was compared, or that nothing was"
)]
#[test]
fn every_file_is_read_back_as_the_same_model() {
    let (own, published) = (own(), published());
    assert!(!own.is_empty());
    let only = std::env::var("CORPUS_ONLY").unwrap_or_default();
    let mut bad = Vec::new();
    let count = own.len() + published.len();
    for path in own.into_iter().chain(published) {
        if !path.to_string_lossy().contains(&only) {
            continue;
        }
        let mut fake = machine(&fs::read(&path).unwrap_or_default());
        let root = path.with_extension("root");
        add(&mut fake, &root, &root);
        let args = fs::read_to_string(path.with_extension("args")).unwrap_or_default();
        let id = args.split_whitespace().skip_while(|w| *w != "-i").nth(1);
        let known = EXPLAINED.iter().any(|(name, _)| path.ends_with(name));
        if let Some(why) = fault(fake, id).filter(|_| !known) {
            bad.push(format!("{}: {why}", path.display()));
        }
    }
    bad.iter().for_each(|b| eprintln!("{b}\n"));
    eprintln!("read back: {} of {count} files", count - bad.len());
    assert!(
        bad.is_empty(),
        "{} files are read back differently",
        bad.len()
    );
}

#[test]
fn random_files_are_read_back_as_the_same_model() {
    let seeds = grow::Seeds::new();
    let mut bad = Vec::new();
    for n in 0..1000 {
        let text = seeds.file(&mut grow::Dice::new(n * 1_000_003), "/tmp");
        if let Some(why) = fault(machine(text.as_bytes()), None) {
            bad.push(format!("file {n}: {why}"));
        }
    }
    let count = bad.len();
    bad.truncate(5);
    assert_eq!(count, 0, "{}", bad.join("\n\n"));
}
