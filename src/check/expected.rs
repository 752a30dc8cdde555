//! What a keyword takes, in words: from the grammar of its row.

use crate::config::source::Grammar;

/// Lines whose form is a grammar of its own, by the name they have in a row.
const LINES: &[(&str, &str)] = &[
    (
        "{ <address line>... }",
        "<IP>[/<prefix length>] [brd <IPv4>|+|-] [dev <interface>] [scope <scope>] [label <name>] [peer <IP>]",
    ),
    (
        "{ <route line>... }",
        "<IP>[/<prefix length>]|default [via <IP>] [dev <interface>] [src <IP>] [metric <n>] [table <table>] ...",
    ),
    (
        "{ <rule line>... }",
        "[from <IP>[/<prefix length>]] [to <IP>[/<prefix length>]] [fwmark <n>] [iif <interface>] [preference <n>] table <table>",
    ),
];

/// `None`: there is nothing to say that the keyword itself does not.
pub(super) fn text(grammar: Grammar) -> Option<String> {
    let Grammar { keyword, manual } = grammar;
    if keyword.is_empty() {
        return None;
    }
    if let Some((_, line)) = LINES.iter().find(|(name, _)| *name == manual) {
        return Some(format!("each line of `{keyword}`: {line}"));
    }
    if let Some(new) = manual.strip_prefix("deprecated: ") {
        return Some(format!("`{new}` instead of `{keyword}`"));
    }
    if manual == "{ block }" {
        return Some(format!("`{keyword} ... {{`, its keywords, `}}`"));
    }
    if let Some(rest) = manual.strip_prefix("flag") {
        return Some(format!("`{keyword}` without arguments{}", plain(rest)));
    }
    if let Some(rest) = manual.strip_prefix("[<bool>]") {
        return Some(format!(
            "`{keyword} [on|off|true|false|yes|no]`, on without a word{}",
            plain(rest)
        ));
    }
    if let Some(other) = manual.strip_prefix("as ") {
        return Some(format!("`{keyword}` with what `{}` takes", plain(other)));
    }
    Some(format!("`{keyword}` {}", plain(manual)))
}

/// Ranges as people write them.
fn plain(manual: &str) -> String {
    manual
        .replace("..=", " to ")
        .replace("≥ ", "at least ")
        .replace("≤ ", "at most ")
        .replace("> 0", "above 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(keyword: &'static str, manual: &'static str) -> String {
        text(Grammar { keyword, manual }).expect("something to say")
    }

    #[test]
    fn ranges_flags_and_booleans_are_said_in_words() {
        assert_eq!(
            said("priority", "1..=255, 255 = address owner"),
            "`priority` 1 to 255, 255 = address owner"
        );
        assert_eq!(said("nopreempt", "flag"), "`nopreempt` without arguments");
        assert_eq!(
            said("alpha", "[<bool>]"),
            "`alpha [on|off|true|false|yes|no]`, on without a word"
        );
        assert_eq!(
            said("lb_algo", "as lvs_sched"),
            "`lb_algo` with what `lvs_sched` takes"
        );
        assert!(said("virtual_ipaddress", "{ <address line>... }").contains("[dev <interface>]"));
    }
}
