//! What the built binary says about the configurations in `tests/conf/`: `-t` and `check`, word for word.
//!
//! Each `NAME.conf`, and each `NAME.args` with other arguments (of `check` alone if they begin with `--`), has a `NAME.golden`; `UPDATE_GOLDEN=1` rewrites them:
//! review the difference. Every code of a finding has a file of its name. They are read in a network namespace that has
//! `eth0` and `eth1`, `p0` and `p1` as ports of a bridge, and with the configuration id `lb1`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_keepalived-rs");
/// Lines of a golden file that are kept at its beginning and at its end.
const KEPT: (usize, usize) = (60, 20);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conf")
}

/// Every code that a finding may have, as the binary lists them.
fn codes() -> Vec<String> {
    let out = Command::new(BINARY)
        .args(["check", "--explain", "?"])
        .output()
        .expect("the built binary");
    assert_eq!(out.status.code(), Some(3));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let (_, list) = text.split_once("The codes: ").expect("a list of the codes");
    list.split_whitespace().map(str::to_owned).collect()
}

/// Name and arguments of each case, sorted.
fn cases() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder()).expect("tests/conf") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let end = path.extension().map(|e| e.to_string_lossy().into_owned());
        match end.as_deref() {
            Some("conf") => all.push((name.clone(), format!("{name}.conf"))),
            Some("args") => {
                let args = fs::read_to_string(&path).expect("readable");
                all.push((name, args.trim().to_owned()));
            }
            Some(_) | None => {}
        }
    }
    all.sort();
    all
}

/// The middle of a long text left out.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = KEPT;
    if lines.len() <= 4 * (first + last) {
        return text.to_owned();
    }
    let mut out = lines[..first].join("\n");
    write!(out, "\n[{} lines]\n", lines.len() - first - last).expect("a String takes all");
    out + &lines[lines.len() - last..].join("\n") + "\n"
}

/// Runs a shell script in a namespace with two interfaces; `None`: that is not allowed.
fn in_namespace(script: &str) -> Option<String> {
    let setup = "ip link add eth0 type veth peer name eth1 && ip link set lo up && \
                 ip addr add 198.51.100.7/24 dev eth1 && ip link add br0 type bridge && \
                 ip link add p0 master br0 type veth peer name p1 && ip link set p1 master br0 || exit 99\n";
    let out = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", &format!("{setup}{script}")])
        .current_dir(folder())
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .expect("util-linux is installed");
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

#[expect(clippy::print_stderr, reason = "says that it was skipped")]
fn skipped() {
    eprintln!("conf: skipped: needs root");
}

#[test]
fn every_file_gets_the_words_that_are_meant() {
    if !nix::unistd::geteuid().is_root() {
        skipped();
        return;
    }
    let mark = "=== end of a run ===";
    let mut script =
        format!("umask 022\nrun() {{ \"$@\" 2>&1; echo \"exit $?\"; }}\nBIN='{BINARY}'\n");
    for (_, args) in cases() {
        if args.starts_with("--") {
            writeln!(
                script,
                "echo '$ keepalived-rs check {args}'; run $BIN check --color never {args}; echo '{mark}'"
            )
            .expect("a String takes all");
            continue;
        }
        let file = args.replace('\'', "");
        writeln!(
            script,
            "echo '$ keepalived-rs -t -f {file}'; run $BIN -t -i lb1 -f '{file}'; \
             echo '$ keepalived-rs check {file}'; run $BIN check -i lb1 --color never '{file}'; echo '{mark}'"
        )
        .expect("a String takes all");
    }
    let said = in_namespace(&script).expect("a namespace with eth0 and eth1");
    let mut wrong = Vec::new();
    let said: Vec<&str> = said.split(&format!("{mark}\n")).collect();
    assert_eq!(said.len(), cases().len() + 1, "one run per file");
    for ((name, _), said) in cases().iter().zip(said) {
        let golden = folder().join(format!("{name}.golden"));
        let said = shortened(said);
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|word| !word.is_empty()) {
            fs::write(&golden, said).expect("tests/conf is writable");
        } else if fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("{name}:\n{said}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ; UPDATE_GOLDEN=1 rewrites them\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_code_has_a_golden_test_and_an_explanation() {
    let names: BTreeSet<String> = cases().into_iter().map(|(name, _)| name).collect();
    let mut missing = Vec::new();
    for code in codes() {
        let golden = folder().join(format!("{code}.golden"));
        let text = fs::read_to_string(golden).unwrap_or_default();
        if !names.contains(&code) || !text.contains(&format!("[{code}]")) {
            missing.push(format!(
                "tests/conf/{code}.conf with such a finding in {code}.golden"
            ));
        }
        let out = Command::new(BINARY)
            .args(["check", "--explain", &code])
            .output()
            .expect("the built binary");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if out.status.code() != Some(0) || !text.contains("\nRemedy: ") {
            missing.push(format!("an explanation of {code} with its remedy"));
        }
    }
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
}

#[test]
fn the_test_of_a_configuration_explains_itself_on_a_terminal_only() {
    let file = folder().join("missing-close.conf");
    let line = format!("{BINARY} -t -f {}", file.display());
    let out = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .output()
        .expect("util-linux is installed");
    let text = String::from_utf8_lossy(&out.stdout).replace('\r', "");
    assert_eq!(out.status.code(), Some(5), "{text}");
    let (_, below) = text
        .split_once("There are 1 missing '}'s or extra '{'s\n")
        .expect("keepalived's own line");
    assert!(below.contains("this block is not closed"), "{text}");
    assert!(below.contains("--explain missing-close"), "{text}");
    let out = Command::new(BINARY).arg("-t").arg("-f").arg(&file).output();
    let out = String::from_utf8_lossy(&out.expect("the built binary").stderr).into_owned();
    assert!(!out.contains("-->"), "{out}");
}

#[test]
fn keys_and_passwords_are_never_shown() {
    let (one, two) = ("more/secrets.conf", "more/secrets-2.conf");
    let runs: &[&[&str]] = &[
        &["-t", "-f", one],
        &["check", one],
        &["check", "--format", "json", one],
        &["check", "--effective", one],
        &["check", "--diff", one, two],
        &["check", "--cluster", one, two],
        &["check", "--cluster", "--format", "json", one, two],
    ];
    for args in runs {
        let plain = Command::new(BINARY)
            .args(*args)
            .current_dir(folder())
            .output()
            .expect("the built binary");
        let line = format!("{BINARY} {}", args.join(" "));
        let terminal = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .current_dir(folder())
            .stdin(Stdio::null())
            .output()
            .expect("util-linux is installed");
        for text in [plain.stdout, plain.stderr, terminal.stdout] {
            let text = String::from_utf8_lossy(&text).into_owned();
            let told: Vec<&str> = text.lines().filter(|l| l.contains("SECRET")).collect();
            assert_eq!(told, Vec::<&str>::new(), "{args:?}");
        }
    }
    let args = ["check", "--effective", "--show-secrets", one];
    let mut asked = Command::new(BINARY);
    let asked = asked.args(args).current_dir(folder()).output();
    let asked = asked.expect("the built binary");
    assert!(String::from_utf8_lossy(&asked.stdout).contains("SECRET-1"));
}

#[test]
fn one_run_tells_all_mistakes_of_a_file() {
    let Ok(text) = fs::read_to_string(folder().join("twenty.golden")) else {
        panic!("tests/conf/twenty.golden")
    };
    let wrong = fs::read_to_string(folder().join("twenty.conf")).expect("tests/conf/twenty.conf");
    let meant: Vec<usize> = (1..)
        .zip(wrong.lines())
        .filter(|(_, line)| line.contains("# wrong"))
        .map(|(n, _)| n)
        .collect();
    assert_eq!(meant.len(), 20);
    for n in &meant {
        let count = text.matches(&format!(" --> twenty.conf:{n}:")).count();
        assert_eq!(count, 1, "findings in line {n}");
    }
    assert_eq!(text.matches(" --> twenty.conf:").count(), 20);
}

/// The picture in the README is what `check` shows on a terminal.
#[test]
fn the_picture_of_the_readme_is_a_real_run() {
    if !nix::unistd::geteuid().is_root() {
        skipped();
        return;
    }
    let tour = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/tour");
    let script = format!(
        "cd '{}' && '{BINARY}' check -i lb1 --color always lb1.conf; true",
        tour.display()
    );
    let shown = in_namespace(&script).expect("a namespace with eth0 and eth1");
    let prompt = "$ keepalived-rs check lb1.conf\n";
    let picture = anstyle_svg::Term::new()
        .min_width_px(860)
        .render_svg(&format!("{prompt}{shown}"));
    let path = tour.join("check.svg");
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|word| !word.is_empty()) {
        fs::write(&path, &picture).expect("the project's own file");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == picture,
        "{} is out of date: UPDATE_GOLDEN=1 draws it anew from\n{shown}",
        path.display()
    );
}
