//! `SMTP_CHECK`: a mail server that greets, and answers `HELO` and `QUIT`, is health.

use std::sync::Arc;

use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key, sub};

/// Options of `SMTP_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Smtp {
    /// `helo_name`, default `smtpchecker.keepalived.org`.
    pub(crate) helo_name: Arc<str>,
}

/// What an `SMTP_CHECK` block adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct SmtpDraft {
    helo_name: Option<Arc<str>>,
    /// `host`: each is a checker of its own.
    hosts: Vec<Common>,
}

/// What a `host` block adds: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host;

static HOST: Block<Draft<Host>> = Block {
    name: "virtual_server/real_server/SMTP_CHECK/host",
    rows: Draft::<Host>::CONNECT_ROWS,
    more: &[Draft::<Host>::TIMING_ROWS],
};

pub(crate) static SMTP_CHECK: Block<Draft<SmtpDraft>> = Block {
    name: "virtual_server/real_server/SMTP_CHECK",
    rows: &[
        key("helo_name", "<STRING>", |v, a| {
            a.present()?;
            match v.own.helo_name.replace(a.word()?.into()) {
                Some(_) => {
                    Err(a.whole_fault(Code::Repeated, "SMTP_CHECK helo name already specified"))
                }
                None => Ok(()),
            }
        }),
        sub("host", &HOST, |v, a| {
            a.log(
                Code::Deprecated,
                "is deprecated - please use several SMTP_CHECK blocks",
            );
            let mut host = Draft {
                common: v.common.clone(),
                own: Host,
            };
            a.block(&HOST, &mut host);
            v.own.hosts.push(host.common);
            Ok(())
        }),
    ],
    more: &[
        Draft::<SmtpDraft>::CONNECT_ROWS,
        Draft::<SmtpDraft>::TIMING_ROWS,
    ],
};

impl Own for SmtpDraft {
    // keepalived: options of a `host` block act on the checker around it, and what the block makes never answers.
    fn finish(self, common: Common, _: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        let helo_name = self.helo_name.unwrap_or_else(|| DEFAULT_HELO.into());
        let options = Smtp { helo_name };
        let around = (self.hosts.is_empty() || common.connect.ip.is_some()).then_some(common);
        let all = around.into_iter().chain(self.hosts);
        Ok(all.map(|c| c.with(Kind::Smtp(options.clone()))).collect())
    }
}

const DEFAULT_HELO: &str = "smtpchecker.keepalived.org";
