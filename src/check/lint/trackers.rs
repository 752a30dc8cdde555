//! Rules about what is tracked.

use std::collections::HashSet;

use crate::check::finding::Finding;
use crate::check::places::Places;
use crate::config::source::Code;
use crate::lvs::checker::Check;
use crate::model::track::Weight;
use crate::model::vrrp::Instance;

/// Every weighted tracker of an instance: list, name, weight.
pub(crate) fn weighted(instance: &Instance) -> Vec<(&'static str, &str, i16)> {
    let interfaces = instance.track_interfaces.iter();
    let interfaces = interfaces.map(|t| ("track_interface", t.interface.as_str(), t.weight));
    let scripts = instance.track_scripts.iter();
    let scripts = scripts.map(|t| ("track_script", &*t.script, t.weight));
    let others = &instance.other_tracks;
    let lists = [
        ("track_file", &others.files),
        ("track_process", &others.processes),
        ("track_bfd", &others.bfds),
    ];
    let others = lists
        .into_iter()
        .flat_map(|(list, all)| all.iter().map(move |t| (list, &*t.name, t.weight)));
    let all = interfaces.chain(scripts).chain(others);
    all.filter_map(|(list, name, weight)| match weight {
        Weight::Fault => None,
        Weight::Adjust(n) => Some((list, name, n)),
    })
    .collect()
}

/// The priority of an owner never changes.
pub(super) fn weight_of_owner(p: &Places<'_>, found: &mut Vec<Finding>) {
    for instance in &p.node.loaded.config.instances {
        if !instance.is_owner() {
            continue;
        }
        for (list, name, weight) in weighted(instance) {
            let text = format!(
                "({}) the weight {weight} of {name} does nothing: priority 255 is that of the owner and never changes",
                instance.name
            );
            let place = p.of_instance(&instance.name, &[list]);
            found.push(p.node.finding(Code::WeightOfOwner, place, text));
        }
    }
}

/// Priorities of others than owners are 1 to 254.
pub(super) fn weight_without_room(p: &Places<'_>, found: &mut Vec<Finding>) {
    for instance in &p.node.loaded.config.instances {
        let priority = instance.priority.get();
        let all = weighted(instance);
        // A file's number may have either sign; together weights may move what one alone cannot.
        let stuck = |w: i16| priority == 254 && w > 0 || priority == 1 && w < 0;
        if !all
            .iter()
            .all(|(list, _, w)| stuck(*w) && *list != "track_file")
        {
            continue;
        }
        for (list, name, weight) in all {
            let text = format!(
                "({}) the weight {weight} of {name} does nothing: the priority is {priority} already",
                instance.name
            );
            let place = p.of_instance(&instance.name, &[list]);
            found.push(p.node.finding(Code::WeightWithoutRoom, place, text));
        }
    }
}

/// A run that may take longer than the time until the next one.
pub(super) fn slow_script(p: &Places<'_>, found: &mut Vec<Finding>) {
    for script in &p.node.loaded.config.scripts {
        if script.timeout > script.interval {
            let text = format!(
                "{}: timeout {:?} is longer than interval {:?}: a script that hangs is noticed late, and runs are left out",
                script.name, script.timeout, script.interval
            );
            let place = p.of("vrrp_script", &script.name, &["timeout", "interval"]);
            found.push(p.node.finding(Code::SlowScript, place, text));
        }
    }
}

/// What nobody tracks.
pub(super) fn unused(p: &Places<'_>, found: &mut Vec<Finding>) {
    let config = &p.node.loaded.config;
    let mut used: HashSet<(&str, &str)> = HashSet::new();
    let instances = config.instances.iter();
    let tracks = instances.map(|i| (&i.track_scripts, &i.other_tracks));
    let groups = config.groups.iter();
    let tracks = tracks.chain(groups.map(|g| (&g.track_scripts, &g.other_tracks)));
    for (scripts, others) in tracks {
        used.extend(scripts.iter().map(|t| ("vrrp_script", &*t.script)));
        used.extend(others.files.iter().map(|t| ("track_file", &*t.name)));
        let processes = others.processes.iter();
        used.extend(processes.map(|t| ("vrrp_track_process", &*t.name)));
        used.extend(others.bfds.iter().map(|t| ("bfd_instance", &*t.name)));
    }
    let servers = config.virtual_servers.iter();
    for checker in servers
        .flat_map(|v| &v.real_servers)
        .flat_map(|r| &r.checkers)
    {
        match &checker.check {
            Check::File(file) => _ = used.insert(("track_file", &*file.file)),
            Check::Bfd(bfd) => _ = used.insert(("bfd_instance", &*bfd.name)),
            Check::Tcp(_)
            | Check::Udp(..)
            | Check::Http(..)
            | Check::Smtp(..)
            | Check::Dns(..)
            | Check::Ping(_)
            | Check::Misc(_) => {}
        }
    }
    // Whoever was lost while reading may have used it.
    let tree = &p.node.loaded.tree;
    let written = |k| tree.root().with_keyword(k).count();
    let none = config.instances.is_empty() && config.virtual_servers.is_empty();
    let lost = none
        || written("vrrp_instance") != config.instances.len()
        || written("virtual_server") != config.virtual_servers.len();
    if lost {
        return;
    }
    let scripts = config.scripts.iter().map(|s| ("vrrp_script", &*s.name));
    let files = config.track_files.iter().map(|f| ("track_file", &*f.name));
    let processes = config.track_processes.iter();
    let processes = processes.map(|x| ("vrrp_track_process", &*x.name));
    let bfds = config.bfds.iter().map(|b| ("bfd_instance", &*b.name));
    for (keyword, name) in scripts.chain(files).chain(processes).chain(bfds) {
        if !used.contains(&(keyword, name)) {
            let text = format!("{keyword} {name} is tracked by nothing");
            let place = p.of(keyword, name, &[]);
            found.push(p.node.finding(Code::Unused, place, text));
        }
    }
}
