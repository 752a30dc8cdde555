//! Deaths and recoveries of servers with all kinds of timing, told by ours and by stock: the same scripts, lines of the FIFO
//! and mails, in the same order for each virtual server.

crate::guests! {
    scripts_fifo_and_mail_tell_the_deaths_that_stock_tells
}

pub(crate) mod story {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use nix::sys::signal::Signal;

    use crate::lab::{until, until_or};
    use crate::mailbox::{Mail, Mailbox, PORT};
    use crate::world::{LIMIT, OURS, STOCK, World};

    /// Last octet, options of the virtual server, of its checkers.
    const SERVERS: &[(u8, &str, &str)] = &[
        (201, "delay_loop 1", "retry 0"),
        (
            202,
            "delay_loop 1\nquorum 2\nsorry_server 10.1.1.14 80",
            "retry 1\ndelay_before_retry 1",
        ),
        (
            203,
            "delay_loop 2\nalpha\nomega",
            "retry 2\ndelay_before_retry 1\nwarmup 0",
        ),
        (
            204,
            "delay_loop 1\nquorum 3\nhysteresis 1",
            "retry 0\nwarmup 0",
        ),
        (
            205,
            "delay_loop 3\nquorum 2\nhysteresis 1\nalpha",
            "retry 0\ndelay_loop 1\nwarmup 0",
        ),
    ];

    pub(crate) fn conf(dir: &Path, with: impl Fn(u8, u8) -> bool) -> String {
        let path = |name: &str| dir.join(name).display().to_string();
        let script = path("n.sh");
        let mut conf = format!(
            "global_defs {{\nrouter_id r1\nscript_user root\nlvs_notify_fifo {}\nlvs_notify_fifo_script \"{}\"
smtp_server 127.0.0.1 {PORT}\nsmtp_helo_name helo.example\nnotification_email_from ka@example.com
notification_email {{\nops@example.com\n}}\nsmtp_alert\n}}\n",
            path("fifo"),
            path("r.sh"),
        );
        for (vs, options, checks) in SERVERS {
            let weight = if *vs == 204 { 2 } else { 1 };
            let _ = write!(
                conf,
                "virtual_server 10.1.1.{vs} 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n{options}
quorum_up \"{script} {vs}-quorum-up 'two words'\"\nquorum_down \"{script} {vs}-quorum-down\"\n"
            );
            for rs in [11, 12].into_iter().filter(|rs| with(*vs, *rs)) {
                let _ = write!(
                    conf,
                    "real_server 10.1.1.{rs} 80 {{\nweight {weight}\nnotify_up \"{script} {vs}-{rs}-up 'two words'\"
notify_down \"{script} {vs}-{rs}-down\"\nTCP_CHECK {{\nconnect_timeout 2\n{checks}\n}}\n}}\n"
                );
            }
            conf += "}\n";
        }
        conf
    }

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Told {
        /// By virtual server.
        lines: BTreeMap<String, Vec<String>>,
        calls: BTreeMap<String, Vec<String>>,
        /// Subject and body.
        mails: BTreeSet<(String, String)>,
    }

    fn lines(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn by(lines: Vec<String>, who: impl Fn(&str) -> String) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in lines {
            all.entry(who(&line)).or_default().push(line);
        }
        all
    }

    fn tell(binary: &str) -> Told {
        let world = World::new(&[11, 12]);
        let dir: PathBuf = world
            .configure("")
            .parent()
            .expect("a directory")
            .to_owned();
        let script = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).expect("our own directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        };
        let file = |name: &str| dir.join(name).display().to_string();
        script(
            "n.sh",
            format!("#!/bin/sh\necho \"$@\" >>{}\n", file("calls")),
        );
        script(
            "r.sh",
            format!("#!/bin/sh\nexec cat \"$1\" >>{}\n", file("lines")),
        );
        let mailbox = Mailbox::open(&world.director);
        let first = world.serve(11);
        let second = world.serve(12);
        let all = |_, _| true;
        let mut daemon = world.start(binary, &conf(&dir, all), &["-C"]);
        daemon.wait_log_times("success.", 2 * SERVERS.len());
        let heard = |rs: u8, way: &str, times: usize| {
            let told = |vs: u8, alpha: bool| {
                // Who begins as dead was told to be up once more.
                let times = times + usize::from(alpha && way == "UP");
                let line = format!("RS [10.1.1.{rs}]:tcp:80 [10.1.1.{vs}]:tcp:80 {way}");
                lines(&dir.join("lines"))
                    .iter()
                    .filter(|l| **l == line)
                    .count()
                    >= times
            };
            until_or(
                || {
                    let lines = lines(&dir.join("lines"));
                    format!(
                        "{binary}: {rs} {way} {times} times in {lines:#?}\n{}",
                        daemon.log()
                    )
                },
                LIMIT,
                || {
                    let all = SERVERS
                        .iter()
                        .all(|(vs, options, _)| told(*vs, options.contains("alpha")));
                    all.then_some(())
                },
            );
        };
        drop(second);
        heard(12, "DOWN", 1);
        drop(first);
        heard(11, "DOWN", 1);
        let first = world.serve(11);
        heard(11, "UP", 1);
        let second = world.serve(12);
        heard(12, "UP", 1);
        drop(first);
        heard(11, "DOWN", 2);
        let _first = world.serve(11);
        heard(11, "UP", 2);
        // A reload that removes a real server, and a virtual server whole.
        world.configure(&conf(&dir, |vs, rs| vs != 204 && (vs, rs) != (201, 12)));
        daemon.signal(Signal::SIGHUP);
        world.wait_rules_that(&daemon, |rules| {
            let gone = |r: &String| r.contains("10.1.1.204") || (r.contains("201:80 -r 10.1.1.12"));
            !rules.iter().any(gone)
        });
        // What is told last of all that is to come.
        drop(second);
        let wanted = |vs: u8| format!("RS [10.1.1.12]:tcp:80 [10.1.1.{vs}]:tcp:80 DOWN");
        until_or(
            || format!("{binary}: the last deaths\n{}", daemon.log()),
            LIMIT,
            || {
                let lines = lines(&dir.join("lines"));
                let times = |vs: u8| lines.iter().filter(|l| **l == wanted(vs)).count();
                (times(202) >= 2 && times(203) >= 2 && times(205) >= 2).then_some(())
            },
        );
        let quorum = "VS [10.1.1.202]:tcp:80 DOWN";
        let subjects = || {
            mailbox
                .mails()
                .iter()
                .map(|m| m.subject().0)
                .collect::<Vec<_>>()
        };
        until_or(
            || format!("{binary}: the last mails, {:#?}", subjects()),
            LIMIT,
            || {
                let lines = lines(&dir.join("lines"));
                let lost = lines.iter().filter(|l| *l == quorum).count();
                // A call for each line; scripts are slower than lines.
                let called = crate::tells::story::lines(&dir.join("calls"));
                (lost >= 2 && called.len() >= lines.len()).then_some(())
            },
        );
        let mails = mailbox.mails();
        let told = Told {
            lines: by(lines(&dir.join("lines")), |l| {
                // RS [..] [VS] STATE, VS [VS] STATE
                let words: Vec<_> = l.split(' ').collect();
                words[words.len().saturating_sub(2)].to_owned()
            }),
            calls: by(lines(&dir.join("calls")), |l| {
                l.split(' ').next().unwrap_or_default().to_owned()
            }),
            mails: mails
                .iter()
                .map(|m| {
                    let (who, what) = m.subject();
                    let body = m.text.iter().find(|l| l.starts_with("=>"));
                    let body = body.cloned().unwrap_or_default();
                    // Stock shows a sum where it means a difference, and the wrong comparison.
                    let body = match body.contains("Lost quorum") {
                        true => body.replacen('+', "-", 1).replacen(" <= ", " > ", 1),
                        false => body,
                    };
                    (format!("{who} - {what}"), body)
                })
                .collect(),
        };
        assert!(daemon.stop().success(), "{}", daemon.log());
        if binary == OURS {
            // With omega. Stock begins with it and ends before it is through.
            let said = |what: &str| {
                let body = format!("=> {what} <=");
                let about = |m: &Mail| m.subject().0.contains("10.1.1.203");
                let mails = mailbox.mails();
                mails.iter().any(|m| about(m) && m.text.contains(&body))
            };
            until("the mail of the stop", LIMIT, || {
                said("Shutting down").then_some(())
            });
        }
        told
    }

    pub(super) fn scripts_fifo_and_mail_tell_the_deaths_that_stock_tells() {
        let [stock, ours] = [STOCK, OURS].map(tell);
        assert_eq!(ours.lines, stock.lines, "lines: ours, then stock's");
        assert_eq!(ours.calls, stock.calls, "calls: ours, then stock's");
        // Stock sends all at once and tries once: some may be missing.
        let missing: Vec<_> = stock.mails.difference(&ours.mails).collect();
        let more: Vec<_> = ours.mails.difference(&stock.mails).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "only stock: {missing:#?}, only ours: {more:#?}"
        );
    }
}
