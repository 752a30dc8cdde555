//! What is tracked, and the lists that name it.

use super::global::path;
use super::sheet::{Said, Sheet, millis, seconds, word, words};
use crate::model::bfd::BfdInstance;
use crate::model::track::{
    Arguments, Command, InitFile, InterfaceTrack, OtherTracks, Script, ScriptTrack, TrackFile,
    TrackProcess, Tracked, Weight,
};

/// The number that stands for a weight.
fn number(weight: Weight) -> i16 {
    match weight {
        Weight::Fault => 0,
        Weight::Adjust(n) => n,
    }
}

/// `N [reverse]`
fn weight(weight: Weight, reverse: bool) -> String {
    format!(
        "{}{}",
        number(weight),
        if reverse { " reverse" } else { "" }
    )
}

/// Largest weight that a line of a list may have.
const MAX_LISTED: i16 = 253;

/// A line of a list. A weight that only the definition may have is inherited.
fn listed(name: &str, weight: Weight, reverse: bool) -> String {
    let (name, weight) = (word(name), number(weight));
    if weight.abs() > MAX_LISTED {
        return name.into_owned();
    }
    let reverse = if reverse { "reverse" } else { "noreverse" };
    format!("{name} weight {weight} {reverse}")
}

/// `track_interface`, `track_script` and so on, of an instance or a group.
pub(super) fn lists(
    s: &mut Sheet<'_>,
    interfaces: &[InterfaceTrack],
    scripts: &[ScriptTrack],
    others: &OtherTracks,
) {
    s.lines(
        "track_interface",
        interfaces,
        |t, said| t.interface.as_str() == said,
        |_, track| {
            let InterfaceTrack {
                interface,
                weight: w,
                reverse,
            } = track;
            let name = word(interface.as_str());
            format!("{name} weight {}", weight(*w, *reverse))
        },
    );
    s.lines(
        "track_script",
        scripts,
        |t, said| *t.script == *said,
        |_, track| {
            let ScriptTrack {
                script,
                weight,
                reverse,
            } = track;
            listed(script, *weight, *reverse)
        },
    );
    let OtherTracks {
        files,
        processes,
        bfds,
    } = others;
    let kinds = [
        ("track_file", files),
        ("track_process", processes),
        ("track_bfd", bfds),
    ];
    for (keyword, list) in kinds {
        s.lines(
            keyword,
            list,
            |t, said| *t.name == *said,
            |_, track| {
                let Tracked {
                    name,
                    weight,
                    reverse,
                } = track;
                listed(name, *weight, *reverse)
            },
        );
    }
}

/// `vrrp_script`.
pub(crate) fn script(s: &mut Sheet<'_>, script: &Script) {
    let Script {
        name,
        command,
        interval,
        timeout,
        rise,
        fall,
        init_fail,
        weight: listed,
        reverse,
    } = script;
    let said = s.top("vrrp_script", name);
    s.block(&format!("vrrp_script {}", word(name)), &said, |s| {
        let Command {
            path: _,
            argv,
            user,
        } = command;
        s.key(
            "script",
            match command.opened() {
                Some(file) => super::sheet::command(&[format!("<{file}")]),
                None => super::sheet::command(argv),
            },
        );
        if let Some(user) = user {
            let user = s.user(user);
            let from = [Said::Here("user"), Said::Global("script_user")];
            s.key_from("user", &user, &from);
        }
        s.key("weight", weight(*listed, *reverse));
        s.key("interval", seconds(*interval));
        let from = [Said::Here("timeout"), Said::Here("interval")];
        s.key_from("timeout", &seconds(*timeout), &from);
        s.key("rise", rise);
        s.key("fall", fall);
        s.flag("init_fail", *init_fail);
    });
}

/// `track_file`.
pub(crate) fn file(s: &mut Sheet<'_>, file: &TrackFile) {
    let TrackFile {
        name,
        path: at,
        weight: w,
        reverse,
        init,
    } = file;
    let mut said = s.top("track_file", name);
    said.extend(s.top("vrrp_track_file", name));
    s.block(&format!("track_file {}", word(name)), &said, |s| {
        s.key("file", path(at));
        s.key("weight", weight(*w, *reverse));
        s.option(
            "init_file",
            init.map(|InitFile { value, overwrite }| {
                format!("{value}{}", if overwrite { " overwrite" } else { "" })
            }),
        );
    });
}

/// `vrrp_track_process`.
pub(crate) fn process(s: &mut Sheet<'_>, process: &TrackProcess) {
    let TrackProcess {
        name,
        process,
        arguments,
        full_command,
        weight: w,
        reverse,
        quorum,
        quorum_max,
        fork_delay,
        terminate_delay,
    } = process;
    let said = s.top("vrrp_track_process", name);
    s.block(&format!("vrrp_track_process {}", word(name)), &said, |s| {
        s.key("process", words(process.iter().map(|p| &**p)));
        match (arguments, process.len()) {
            (Arguments::Any, _) => s.remark("param_match: none"),
            (Arguments::Exact, _) => s.flag("param_match", true),
            (Arguments::Initial, _) => s.key("param_match", "initial"),
            (Arguments::Partial, _) => s.key("param_match", "partial"),
        }
        s.flag("full_command", *full_command);
        s.key("weight", weight(*w, *reverse));
        // A quorum of 0 is what quorum_max 0 means.
        if *quorum > 0 {
            s.key("quorum", quorum);
        }
        s.option("quorum_max", *quorum_max);
        let from = [Said::Here("fork_delay"), Said::Here("delay")];
        delay(s, "fork_delay", *fork_delay, &from);
        let from = [Said::Here("terminate_delay"), Said::Here("delay")];
        delay(s, "terminate_delay", *terminate_delay, &from);
    });
}

/// None cannot be written and is the default.
fn delay(s: &mut Sheet<'_>, keyword: &str, delay: std::time::Duration, from: &[Said<'_>]) {
    if delay.is_zero() {
        s.remark(&format!("{keyword}: none"));
    } else {
        s.key_from(keyword, &seconds(delay), from);
    }
}

/// `bfd_instance`.
pub(crate) fn bfd(s: &mut Sheet<'_>, bfd: &BfdInstance) {
    let BfdInstance {
        name,
        neighbor,
        source,
        min_rx,
        min_tx,
        idle_tx,
        multiplier,
        passive,
        ttl,
        max_hops,
        multihop,
        weight: w,
        reverse,
        tells_vrrp,
        tells_checkers,
    } = bfd;
    let said = s.top("bfd_instance", name);
    s.block(&format!("bfd_instance {}", word(name)), &said, |s| {
        let from = [Said::Here("neighbor_ip"), Said::Here("neighbour_ip")];
        s.key_from("neighbor_ip", &neighbor.to_string(), &from);
        s.option("source_ip", *source);
        s.key("min_rx", millis(*min_rx));
        s.key("min_tx", millis(*min_tx));
        s.key("idle_tx", millis(*idle_tx));
        s.key("multiplier", multiplier);
        s.flag("passive", *passive);
        let from = [Said::Here("ttl"), Said::Here("hoplimit")];
        s.key_from("ttl", &ttl.to_string(), &from);
        s.key("max_hops", max_hops.map_or(-1, i16::from));
        s.toggle("multihop", *multihop);
        s.key("weight", weight(*w, *reverse));
        s.flag("vrrp", *tells_vrrp);
        s.flag("checker", *tells_checkers);
    });
}
