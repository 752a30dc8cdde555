//! `global_defs`: FIFOs, SNMP, D-Bus, and what mail is not sent.

use std::sync::Arc;
use std::time::Duration;

use super::super::lex;
use super::super::source::Code;
use super::super::table::{Args, Fault, Row, key, raw};
use super::checks::flag;
use super::command::{self, CommandDraft, Nobody};
use super::global::{FifoDraft, GlobalDraft};
use super::global_process::once;

/// `<PATH> [<USER> [<GROUP>]]`, the first one counts. Without its owner there is no FIFO.
fn fifo(
    v: &mut GlobalDraft,
    a: &mut Args<'_, '_>,
    slot: fn(&mut GlobalDraft) -> &mut Option<FifoDraft>,
) -> Result<(), Fault> {
    a.present()?;
    if slot(v).is_some() {
        return Err(a.fault(Code::Repeated, "already specified - ignoring"));
    }
    let path = a.word()?.into();
    let owner = match a.opt() {
        None => match v.ask_user(a) {
            Nobody::Somebody => None,
            nobody @ (Nobody::Wrong | Nobody::Missing) => {
                nobody.say(a);
                return Ok(());
            }
        },
        Some(user) => {
            let group = a.opt();
            let Some(found) = command::credentials(a.host(), user, group) else {
                let text = format!("unknown user or group '{user}' - ignored");
                a.log(Code::Script, text);
                return Ok(());
            };
            Some((found.uid, found.gid))
        }
    };
    *slot(v) = Some(FifoDraft { path, owner });
    Ok(())
}

fn script(
    v: &mut GlobalDraft,
    a: &mut Args<'_, '_>,
    slot: fn(&mut GlobalDraft) -> &mut Option<Box<CommandDraft>>,
) -> Result<(), Fault> {
    a.present()?;
    let nobody = nobody_for(v, a, slot);
    command::optional_script(a, slot(v), nobody)
}

/// Looks for the default user if this is a script that needs one.
pub(super) fn nobody_for(
    v: &mut GlobalDraft,
    a: &mut Args<'_, '_>,
    slot: fn(&mut GlobalDraft) -> &mut Option<Box<CommandDraft>>,
) -> Nobody {
    let line = lex::command(a.raw());
    let asks = line.is_ok_and(|l| !l.argv.is_empty() && l.rest.trim().is_empty());
    match asks && slot(v).is_none() {
        true => v.ask_user(a),
        false => Nobody::Somebody,
    }
}

fn text(slot: &mut Arc<str>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    *slot = a.word()?.into();
    Ok(())
}

fn stats_interval(a: &mut Args<'_, '_>) -> Result<Duration, Fault> {
    a.secs(Duration::from_millis(1)..=Duration::from_secs(30))
}

/// FIFOs, SNMP, D-Bus.
pub(super) const LISTENER_ROWS: &[Row<GlobalDraft>] = &[
    key("notify_fifo", "<PATH> [<USER> [<GROUP>]]", |v, a| {
        fifo(v, a, |v| &mut v.fifo)
    }),
    raw(key(
        "notify_fifo_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| script(v, a, |v| &mut v.fifo_script),
    )),
    key("vrrp_notify_fifo", "<PATH> [<USER> [<GROUP>]]", |v, a| {
        fifo(v, a, |v| &mut v.vrrp_fifo)
    }),
    raw(key(
        "vrrp_notify_fifo_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| script(v, a, |v| &mut v.vrrp_fifo_script),
    )),
    key("lvs_notify_fifo", "<PATH> [<USER> [<GROUP>]]", |v, a| {
        fifo(v, a, |v| &mut v.lvs_fifo)
    }),
    raw(key(
        "lvs_notify_fifo_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| script(v, a, |v| &mut v.lvs_fifo_script),
    )),
    key("vrrp_notify_priority_changes", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.notify.priority_changes = on)
    }),
    key("fifo_write_vrrp_states_on_reload", "flag", |v, a| {
        a.flag().map(|on| v.model.notify.states_on_reload = on)
    }),
    key("snmp_socket", "<SOCKET>", |v, a| {
        let socket = a.only()?;
        once(&mut v.snmp_socket, a)?;
        if socket.len() > MAX_SNMP_SOCKET {
            return Err(a.fault(Code::TooLong, "longer than 4095 characters - ignored"));
        }
        v.model.snmp.socket = socket.into();
        Ok(())
    }),
    key("enable_traps", "flag", |v, a| {
        a.flag().map(|on| v.model.snmp.traps = on)
    }),
    key("enable_snmp_vrrp", "flag", |v, a| {
        a.flag().map(|on| v.model.snmp.vrrp = on)
    }),
    key(
        "enable_snmp_keepalived",
        "deprecated: enable_snmp_vrrp",
        |v, a| a.flag().map(|on| v.model.snmp.vrrp = on),
    ),
    key("enable_snmp_rfc", "flag", |v, a| {
        (v.model.snmp.rfc2787, v.model.snmp.rfc6527) = (true, true);
        flag(v, a)
    }),
    key("enable_snmp_rfcv2", "flag", |v, a| {
        a.flag().map(|on| v.model.snmp.rfc2787 = on)
    }),
    key("enable_snmp_rfcv3", "flag", |v, a| {
        a.flag().map(|on| v.model.snmp.rfc6527 = on)
    }),
    key("enable_snmp_checker", "flag", |v, a| {
        a.flag().map(|on| v.model.snmp.checker = on)
    }),
    key(
        "snmp_vs_stats_update_interval",
        "seconds, 0.001..=30, default 5",
        |v, a| stats_interval(a).map(|d| v.model.snmp.vs_stats_interval = d),
    ),
    key(
        "snmp_rs_stats_update_interval",
        "seconds, 0.001..=30, default snmp_vs_stats_update_interval",
        |v, a| stats_interval(a).map(|d| v.rs_stats_interval = Some(d)),
    ),
    key("enable_dbus", "flag", |v, a| {
        a.flag().map(|on| v.model.dbus.enabled = on)
    }),
    key("dbus_service_name", "<NAME>", |v, a| {
        text(&mut v.model.dbus.service_name, a)
    }),
    key("dbus_no_interface_name", "<NAME>", |v, a| {
        text(&mut v.model.dbus.no_interface_name, a)
    }),
    key("no_email_faults", "flag", |v, a| {
        a.flag().map(|on| v.model.mail.faults = !on)
    }),
    key("no_checker_emails", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.mail.every_checker = !on)
    }),
];

/// Longest `snmp_socket`, in octets.
const MAX_SNMP_SOCKET: usize = 4095;
