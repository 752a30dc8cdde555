//! What a reload does to a running master for each keyword: it is kept as it is, takes the new value while it runs,
//! or starts anew. `tests/reload.tsv` holds the answers; `UPDATE_GOLDEN=1` writes them anew, and the difference is to be
//! read. The laboratory takes its samples from the same table.

use std::fmt::Write as _;

use super::keywords::{alive, file, machine};
use crate::model::Config;
use crate::model::diff::{Keyed as _, Reload};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reload.tsv");

const HEAD: &str = "\
# What adding a statement at a reload does to a running master: block, keyword, statement, what becomes of the master
# (keep: nothing, adjust: it runs on with the new value, restart: it resigns and starts anew, refused: nothing of the
# file is taken, fixed: the same, only a new process can change it), and what else changes.
";

/// What becomes of the instance V.
fn of_master(old: &Config, new: &Config) -> &'static str {
    let v = |c: &Config| c.instances.iter().find(|i| &*i.name == "V").cloned();
    match (v(old), v(new)) {
        (None, None) => "none",
        (None, Some(_)) => "added",
        (Some(_), None) => "removed",
        (Some(old), Some(new)) if old.key() != new.key() => "restart",
        (Some(old), Some(new)) => match old.reload_class(&new) {
            Reload::Keep => "keep",
            Reload::Adjust => "adjust",
            Reload::Restart => "restart",
        },
    }
}

/// Which other parts of the model are not as they were.
fn others(old: &Config, new: &Config) -> String {
    let Config {
        global,
        instances: _,
        groups,
        scripts,
        track_files,
        track_processes,
        bfds,
        garp_groups,
        linkbeat,
        delays,
        statics,
        track_groups,
        server_groups,
        virtual_servers,
    } = old;
    let all = [
        ("global", *global == new.global),
        ("groups", *groups == new.groups),
        ("scripts", *scripts == new.scripts),
        ("files", *track_files == new.track_files),
        ("processes", *track_processes == new.track_processes),
        ("bfds", *bfds == new.bfds),
        ("garp_groups", *garp_groups == new.garp_groups),
        ("linkbeat", *linkbeat == new.linkbeat),
        ("delays", *delays == new.delays),
        ("statics", *statics == new.statics),
        ("track_groups", *track_groups == new.track_groups),
        ("server_groups", *server_groups == new.server_groups),
        ("virtual_servers", *virtual_servers == new.virtual_servers),
    ];
    let changed = all.iter().filter(|(_, same)| !same).map(|(name, _)| *name);
    let changed: Vec<_> = changed.collect();
    match changed[..] {
        [] => "-".to_owned(),
        _ => changed.join(","),
    }
}

/// What lasts until the process ends.
fn is_fixed(old: &Config, new: &Config) -> bool {
    let (o, n) = (&old.global, &new.global);
    o.net_namespace != n.net_namespace
        || o.process.ipvs_namespace != n.process.ipvs_namespace
        || o.process.instance != n.process.instance
        || o.firewall.nftables.table != n.firewall.nftables.table
}

#[test]
fn every_keyword_has_an_answer_to_what_a_reload_does_with_it() {
    let mut table = String::from(HEAD);
    for (block, keyword, statement) in alive() {
        let old = machine(&file(block, "")).load();
        let new = machine(&file(block, &statement)).load();
        let class = match () {
            () if new.refusal().is_some() => "refused",
            () if is_fixed(&old.config, &new.config) => "fixed",
            () => of_master(&old.config, &new.config),
        };
        let others = others(&old.config, &new.config);
        let statement = statement.replace('\n', "; ");
        // Writing to a String cannot fail.
        _ = writeln!(table, "{block}\t{keyword}\t{statement}\t{class}\t{others}");
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|word| !word.is_empty()) {
        std::fs::write(GOLDEN, &table).expect("the project's file");
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    for (ours, theirs) in table.lines().zip(golden.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(table.lines().count(), golden.lines().count());
}
