//! The statements of the language, one by one: each is asked of stock keepalived 2.2.7 and of ours.

use std::collections::BTreeSet;

use super::Verdict;

const PARTS: &[(&str, &str)] = &[
    (
        "%globals\n",
        "global_defs {\n enable_script_security\n script_user root\n}\n",
    ),
    (
        "%instance\n",
        "vrrp_instance V1 {\n interface eth0\n virtual_router_id 51\n",
    ),
    (
        "%address\n",
        " virtual_ipaddress {\n  192.0.2.51/24\n }\n}\n",
    ),
    (
        "%server\n",
        "virtual_server 192.0.2.8 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n delay_loop 6\n",
    ),
];

/// One file, and how much both must have in common.
pub(crate) struct Question {
    pub(crate) title: &'static str,
    pub(crate) text: String,
    common: Common,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Common {
    /// Not even the exit status, for a reason.
    Nothing,
    Exit,
    ExitAndLines,
}

/// All of `language.txt`.
pub(crate) fn questions() -> Vec<Question> {
    let all = include_str!("language.txt");
    let mut found = Vec::new();
    let mut rest = all.lines().skip_while(|l| l.starts_with('#')).peekable();
    while let Some(head) = rest.next() {
        let (common, title) = match head.split_once(' ') {
            Some(("===", title)) => (Common::ExitAndLines, title),
            Some(("==~", title)) => (Common::Exit, title),
            Some(_) | None => panic!("not a title: {head}"),
        };
        let reason = rest.next_if(|l| l.starts_with("--- ")).is_some();
        let mut text = String::new();
        while let Some(line) = rest.next_if(|l| !l.starts_with("=")) {
            text += line;
            text += "\n";
        }
        for (short, long) in PARTS {
            text = text.replace(short, long);
        }
        found.push(Question {
            title,
            text,
            common: if reason { Common::Nothing } else { common },
        });
    }
    found
}

impl Question {
    /// What differs that should not.
    pub(crate) fn fault(&self, stock: &Verdict, ours: &Verdict) -> Option<String> {
        let said = || {
            format!(
                "{}: stock {:?}, ours {:?}\n{}-- stock:\n{}-- ours:\n{}",
                self.title, stock.code, ours.code, self.text, stock.said, ours.said
            )
        };
        let wrong = match self.common {
            Common::Nothing => stock.code == ours.code,
            Common::Exit => stock.code != ours.code,
            Common::ExitAndLines => {
                stock.code != ours.code || lines(&stock.said) != lines(&ours.said)
            }
        };
        wrong.then(said)
    }
}

/// The lines that are complained about.
fn lines(said: &str) -> BTreeSet<u32> {
    let complaints = said.lines().filter(|l| !l.ends_with("has no effect yet"));
    let numbers = complaints.filter_map(|l| {
        let (place, _) = l.strip_prefix('(')?.split_once(") ")?;
        place.rsplit_once("Line ")?.1.parse().ok()
    });
    numbers.collect()
}
