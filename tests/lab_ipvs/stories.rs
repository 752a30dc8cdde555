//! The same deaths and recoveries played to stock keepalived and to ours, with timing options of all kinds: each virtual
//! server tells the same of them in the same order, and each line comes within one interval of stock's.
//!
//! Options are drawn from a seed (`LAB_SEED` for another one), so that they meet in combinations that nobody thought of.

crate::guests! {
    deaths_are_told_within_one_interval_of_stock
    silence_is_told_within_one_interval_of_stock
    whoever_stumbles_is_forgiven_as_by_stock
}

mod story {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;
    use std::fs::{self, File};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::{Duration, Instant};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use crate::lab::daemon::Daemon;
    use crate::lab::{until, until_or};
    use crate::world::{LIMIT, OURS, STOCK, Server, World};

    /// The last octets of both real servers.
    const SERVERS: [u8; 2] = [11, 12];
    /// The last octet of the first virtual server, and how many there are.
    const FIRST: u8 = 201;
    const DRAWS: u8 = 10;
    /// What reading, forking and the test itself may add, on a machine that is not late by itself.
    const SLACK: Duration = Duration::from_millis(600);

    /// Seconds: in the guest a script takes its time.
    const MISC_TIMEOUT: u64 = 4;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Its ports are closed, its script fails.
        Dies(u8),
        /// Nothing comes from it any more, its script does not end.
        FallsSilent(u8),
        Returns(u8),
        /// Dies, and returns before anybody has used up his retries.
        Stumbles(u8),
        /// The daemon ends.
        Stop,
    }
    use Step::{Dies, FallsSilent, Returns, Stop, Stumbles};

    pub(super) fn deaths_are_told_within_one_interval_of_stock() {
        let steps = [Dies(12), Dies(11), Returns(11), Returns(12), Dies(11), Stop];
        play(1, false, &steps);
    }

    pub(super) fn silence_is_told_within_one_interval_of_stock() {
        let steps = [
            FallsSilent(11),
            Dies(12),
            Returns(12),
            Returns(11),
            FallsSilent(12),
            Stop,
        ];
        play(2, false, &steps);
    }

    pub(super) fn whoever_stumbles_is_forgiven_as_by_stock() {
        play(3, true, &[Stumbles(11), Stumbles(12), Stop]);
    }

    /// Numbers that look random, by Marsaglia.
    struct Draw(u64);

    impl Draw {
        fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let n = usize::try_from(self.0 >> 33).unwrap_or(0);
            all[n % all.len()]
        }
    }

    /// A virtual server.
    struct Virtual {
        text: String,
        /// From the end of one look to the next one.
        interval: Duration,
        /// How long a look may take at one that says nothing.
        patience: Duration,
        /// How many scripts run one after the other until it is told.
        scripts: u32,
        alpha: bool,
        /// What each of its checkers says the first time.
        success: &'static str,
    }

    fn draw(last: u8, patient: bool, draw: &mut Draw, dir: &Path) -> Virtual {
        let seconds = Duration::from_secs;
        let delay_loop = draw.one_of(&[1, 2, 3]);
        let before_retry = draw.one_of(&[1, 2]);
        let retry = match patient {
            true => draw.one_of(&[14, 20]),
            false => draw.one_of(&[0, 1, 2]),
        };
        let timeout = draw.one_of(&[2, 3]);
        let alpha = draw.one_of(&[false, false, true]);
        let mut own = String::new();
        let mut line = |text: String| own += &(text + "\n");
        for (flag, on) in [
            ("alpha", alpha),
            ("omega", draw.one_of(&[false, true])),
            ("inhibit_on_failure", draw.one_of(&[false, true])),
        ] {
            if on {
                line(flag.to_owned());
            }
        }
        let weights = draw.one_of(&[[1, 1], [2, 1], [1, 3]]);
        let quorum = draw.one_of(&[1, 2, 3]).min(weights[0] + weights[1]);
        line(format!("quorum {quorum}"));
        line(format!(
            "hysteresis {}",
            draw.one_of(&[0, 1]).min(quorum - 1)
        ));
        match draw.one_of(&[0, 1, 2]) {
            0 => {}
            1 => line("sorry_server 10.1.1.14 80".to_owned()),
            _ => line("sorry_server 10.1.1.14 80\nsorry_server_inhibit".to_owned()),
        }
        // What is said of timing is said for all, for a server or for a checker.
        let (mut of_server, mut of_checker) = (String::new(), String::new());
        for (text, anywhere) in [
            (format!("delay_loop {delay_loop}"), true),
            (format!("delay_before_retry {before_retry}"), true),
            (format!("connect_timeout {timeout}"), true),
            (format!("retry {retry}"), retry > 0),
        ] {
            match draw.one_of(&[0, 1, 2]) {
                0 if anywhere => own += &(text + "\n"),
                1 if anywhere => of_server += &(text + "\n"),
                _ => of_checker += &(text + "\n"),
            }
        }
        of_checker += draw.one_of(&["", "warmup 0\n", "warmup 1\n"]);
        if patient {
            of_checker += "log_all_failures\n";
        }
        let page = "url {\npath /\nstatus_code 200\n}\n";
        let kind = draw.one_of(&[0, 0, 1, 2, 3, 4]);
        let checker = |rs: u8| match kind {
            0 => format!("TCP_CHECK {{\n{of_checker}}}\n"),
            1 => format!("HTTP_GET {{\n{page}connect_port 8080\n{of_checker}}}\n"),
            2 => format!("HTTP_GET {{\n{page}{page}connect_port 8080\n{of_checker}}}\n"),
            3 => format!(
                "HTTP_GET {{\n{page}{page}fast_recovery\nconnect_port 8080\n{of_checker}}}\n"
            ),
            _ => {
                // It knows no connect_timeout.
                let lines = of_checker.lines();
                let lines = lines.filter(|l| !l.starts_with("connect_timeout"));
                let lines = lines.collect::<Vec<_>>().join("\n");
                let script = dir.join("look.sh").display().to_string();
                format!(
                    "MISC_CHECK {{\nmisc_path \"{script} {rs}\"\nmisc_timeout {MISC_TIMEOUT}\n{lines}\n}}\n"
                )
            }
        };
        let script = dir.join("n.sh").display().to_string();
        let mut text = format!(
            "virtual_server 10.1.1.{last} 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n{own}\
             quorum_up \"{script} {last}-quorum-up\"\nquorum_down \"{script} {last}-quorum-down\"\n"
        );
        for (rs, weight) in SERVERS.into_iter().zip(weights) {
            let _ = write!(
                text,
                "real_server 10.1.1.{rs} 80 {{\nweight {weight}\n{of_server}notify_up \"{script} {last}-{rs}-up\"\n\
                 notify_down \"{script} {last}-{rs}-down\"\n{}}}\n",
                checker(rs)
            );
        }
        text += "}\n";
        Virtual {
            text,
            // A page that is down is looked at no more often than it is tried again.
            interval: seconds(match (1..4).contains(&kind) {
                true => delay_loop.max(before_retry),
                false => delay_loop,
            }),
            patience: seconds(if kind == 4 { MISC_TIMEOUT } else { timeout }),
            // The one that runs when the server dies or comes, the next one, and those that are tried again.
            scripts: if kind == 4 { 2 + retry } else { 0 },
            alpha,
            success: match kind {
                0 => ":tcp:80 success.",
                1..4 => " succeed on service.",
                _ => "] succeeded.",
            },
        }
    }

    /// Lines with the moments at which they came.
    type Lines = Arc<Mutex<Vec<(Instant, String)>>>;

    /// Everything that is ever written into a FIFO of that name.
    fn listen(path: &Path) -> Lines {
        mkfifo(path, Mode::S_IRWXU).expect("our own directory");
        let lines = Lines::default();
        let told = Arc::clone(&lines);
        // Open for both, so that it never ends.
        let fifo = File::options().read(true).write(true).open(path);
        let fifo = BufReader::new(fifo.expect("our own FIFO"));
        std::thread::spawn(move || {
            for line in fifo.lines().map_while(Result::ok) {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.push((Instant::now(), line));
            }
        });
        lines
    }

    fn so_far(lines: &Lines) -> Vec<(Instant, String)> {
        lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How slow this machine was at worst, in microseconds.
    #[derive(Default)]
    struct Lateness {
        /// Somebody was woken up so late.
        worst: AtomicU64,
        /// So long took a script that does nothing.
        script: AtomicU64,
        over: AtomicBool,
    }

    impl Lateness {
        fn watch(&self, pause: Duration, worst: &AtomicU64, look: impl Fn() -> Duration) {
            while !self.over.load(Ordering::Relaxed) {
                std::thread::sleep(pause);
                let took = u64::try_from(look().as_micros()).unwrap_or(u64::MAX);
                worst.fetch_max(took, Ordering::Relaxed);
            }
        }

        fn watch_naps(&self) {
            let nap = Duration::from_millis(20);
            self.watch(Duration::ZERO, &self.worst, || {
                let began = Instant::now();
                std::thread::sleep(nap);
                began.elapsed().saturating_sub(nap)
            });
        }

        fn watch_scripts(&self) {
            self.watch(Duration::from_millis(500), &self.script, || {
                let began = Instant::now();
                let ended = Command::new("sh")
                    .args(["-c", "read s </dev/null"])
                    .status();
                ended.expect("a shell");
                began.elapsed()
            });
        }

        /// What all may be late, and how much more for each script.
        fn told(&self) -> (Duration, Duration) {
            let told = |of: &AtomicU64| Duration::from_micros(of.load(Ordering::Relaxed));
            (told(&self.worst), told(&self.script))
        }
    }

    /// A server's ports.
    type Ports = [Server; 2];

    fn open(world: &World, rs: u8) -> Ports {
        let page = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi\n";
        [world.serve(rs), world.serve_pages(rs, 8080, page)]
    }

    /// Who has said nothing for so long has said all that follows from what he said.
    const QUIET: Duration = Duration::from_secs(1);

    /// What each virtual server told after a step, and when, counted from the step.
    type Stage = BTreeMap<u8, Vec<(Duration, String)>>;

    /// What came of a story.
    struct Told {
        /// At the start, then after each step.
        stages: Vec<Stage>,
        /// By virtual server, in no order: nobody knows which of two scripts is faster.
        calls: BTreeMap<String, usize>,
        /// What the daemon logged.
        log: String,
    }

    /// The virtual server that a line is about: the last one that it names.
    fn subject(line: &str) -> u8 {
        let name = line.rsplit("10.1.1.").next().unwrap_or_default();
        let octet = name.split(']').next().unwrap_or_default();
        octet.parse().unwrap_or(0)
    }

    struct Teller<'a> {
        binary: &'a str,
        patient: bool,
        steps: &'a [Step],
        seed: u64,
    }

    /// A daemon in the middle of a story.
    struct Running<'a> {
        binary: &'a str,
        world: &'a World,
        dir: &'a Path,
        daemon: Daemon,
        lines: Lines,
        calls: Lines,
        ports: BTreeMap<u8, Ports>,
    }

    impl Running<'_> {
        /// Waits until every virtual server has told that of the real server, and called whom it calls.
        fn told_by_all(&self, rs: u8, way: &str, since: Instant) {
            self.told_by(&mut (FIRST..FIRST + DRAWS), rs, way, since);
        }

        fn told_by(&self, all: &mut dyn Iterator<Item = u8>, rs: u8, way: &str, since: Instant) {
            let wanted: BTreeSet<_> = all
                .map(|vs| format!("RS [10.1.1.{rs}]:tcp:80 [10.1.1.{vs}]:tcp:80 {way}"))
                .collect();
            let missing = || {
                let lines = so_far(&self.lines);
                let came = lines.iter().filter(|(at, _)| *at >= since);
                let came: BTreeSet<_> = came.map(|(_, l)| l.clone()).collect();
                wanted.difference(&came).cloned().collect::<Vec<_>>()
            };
            let called = || so_far(&self.calls).len() >= so_far(&self.lines).len();
            // What follows from the last line, the end of a quorum, comes a moment behind it.
            let quiet = || {
                let lines = so_far(&self.lines);
                lines.last().is_none_or(|(at, _)| at.elapsed() >= QUIET)
            };
            until_or(
                || format!("not told: {:#?}\n{}", missing(), self.daemon.log()),
                LIMIT,
                || (missing().is_empty() && called() && quiet()).then_some(()),
            );
        }

        /// Carries the step out; returns when that began.
        fn step(&mut self, step: Step) -> Instant {
            let lost = "route add blackhole 10.1.1.160/32";
            let since = Instant::now();
            match step {
                Dies(rs) => {
                    self.close(rs);
                    self.told_by_all(rs, "DOWN", since);
                }
                FallsSilent(rs) => {
                    self.world.server(rs).ip(lost);
                    set_state(self.dir, rs, "silent");
                    self.told_by_all(rs, "DOWN", since);
                }
                Returns(rs) => {
                    let ns = self.world.server(rs);
                    // Nothing to delete where it was not silent.
                    let _ = ns.try_ip(&lost.replace("add", "del"));
                    self.open(rs);
                    self.told_by_all(rs, "UP", since);
                }
                Stumbles(rs) => {
                    let before = self.daemon.log().len();
                    self.close(rs);
                    let name = format!("[10.1.1.{rs}]:tcp:80");
                    let seen = || {
                        let log = self.daemon.log();
                        let new = log[before..].lines().filter(|l| l.contains(&name));
                        new.filter(|l| l.contains("failed") || l.contains("Error"))
                            .count()
                    };
                    until_or(
                        || format!("nobody saw it stumble\n{}", self.daemon.log()),
                        LIMIT,
                        || (seen() >= usize::from(DRAWS)).then_some(()),
                    );
                    self.open(rs);
                }
                Stop => {
                    let ended = self.daemon.stop();
                    // keepalived: it kills itself along with a script that still runs.
                    let well = ended.success() || self.binary == STOCK;
                    assert!(well, "{ended}\n{}", self.daemon.log());
                }
            }
            since
        }

        fn close(&mut self, rs: u8) {
            self.ports.remove(&rs);
            set_state(self.dir, rs, "down");
        }

        fn open(&mut self, rs: u8) {
            let world = self.world;
            self.ports.entry(rs).or_insert_with(|| open(world, rs));
            set_state(self.dir, rs, "up");
        }
    }

    fn set_state(dir: &Path, rs: u8, is: &str) {
        // At once, so that nobody reads half of it.
        let (new, path) = (dir.join("state.new"), dir.join(format!("state.{rs}")));
        fs::write(&new, format!("{is}\n")).expect("our own directory");
        fs::rename(new, path).expect("our own directory");
    }

    impl Teller<'_> {
        fn virtual_servers(&self, dir: &Path) -> Vec<Virtual> {
            let mut random = Draw(self.seed);
            (FIRST..FIRST + DRAWS)
                .map(|last| draw(last, self.patient, &mut random, dir))
                .collect()
        }

        fn tell(&self) -> Told {
            let world = World::new(&SERVERS);
            let dir: PathBuf = world.configure("").parent().expect("a directory").into();
            let script = |name: &str, text: String| {
                let path = dir.join(name);
                fs::write(&path, text).expect("our own directory");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
            };
            let d = dir.display();
            script("n.sh", format!("#!/bin/sh\necho \"$@\" >{d}/calls\n"));
            script(
                "look.sh",
                format!(
                    "#!/bin/sh\nread s <{d}/state.$1\ncase $s in\nup) exit 0;;\ndown) exit 1;;\n*) exec sleep 100;;\nesac\n"
                ),
            );
            for rs in SERVERS {
                set_state(&dir, rs, "up");
            }
            let (lines, calls) = (listen(&dir.join("fifo")), listen(&dir.join("calls")));
            let ports = SERVERS.map(|rs| (rs, open(&world, rs)));
            let all = self.virtual_servers(&dir);
            let mut conf =
                format!("global_defs {{\nscript_user root\nlvs_notify_fifo {d}/fifo\n}}\n");
            all.iter().for_each(|vs| conf += &vs.text);
            let mut since = vec![Instant::now()];
            let daemon = world.start(self.binary, &conf, &["-C"]);
            for what in all.iter().map(|vs| vs.success).collect::<BTreeSet<_>>() {
                let checkers = all.iter().filter(|vs| vs.success == what).count() * SERVERS.len();
                daemon.wait_log_times(what, checkers);
            }
            let mut running = Running {
                binary: self.binary,
                world: &world,
                dir: &dir,
                daemon,
                lines,
                calls,
                ports: ports.into_iter().collect(),
            };
            // Who begins as dead is told to be up by and by.
            let alpha = (FIRST..).zip(&all).filter(|(_, vs)| vs.alpha);
            let alpha: Vec<u8> = alpha.map(|(last, _)| last).collect();
            for rs in SERVERS {
                running.told_by(&mut alpha.iter().copied(), rs, "UP", since[0]);
            }
            let mut called = Vec::new();
            for step in self.steps {
                if matches!(step, Stop) {
                    called = so_far(&running.calls);
                }
                since.push(running.step(*step));
            }
            let end = File::options().append(true).open(dir.join("fifo"));
            let mut end = end.expect("our own FIFO");
            end.write_all(b"END\n").expect("there is room in it");
            until("the end is heard", LIMIT, || {
                so_far(&running.lines)
                    .last()
                    .filter(|(_, l)| l == "END")
                    .map(drop)
            });
            let mut stages = vec![Stage::new(); since.len()];
            for (at, line) in so_far(&running.lines) {
                let stage = since.iter().rposition(|s| *s <= at).unwrap_or(0);
                let after = at.saturating_duration_since(since[stage]);
                let of_stage = stages[stage].entry(subject(&line)).or_default();
                of_stage.push((after, line));
            }
            let mut calls = BTreeMap::new();
            for (_, call) in called {
                *calls.entry(call).or_default() += 1;
            }
            let log = running.daemon.log();
            Told { stages, calls, log }
        }
    }

    fn sorted(lines: &[(Duration, String)]) -> Vec<&str> {
        let mut lines: Vec<_> = lines.iter().map(|(_, l)| l.as_str()).collect();
        lines.sort_unstable();
        lines
    }

    /// What differs between both, beyond what may.
    fn differences(
        teller: &Teller<'_>,
        stock: &Told,
        ours: &Told,
        (late, script): (Duration, Duration),
    ) -> Vec<String> {
        let all = teller.virtual_servers(Path::new("/tmp"));
        let mut found = Vec::new();
        if stock.calls != ours.calls {
            found.push(format!("calls: {:#?}, {:#?}", stock.calls, ours.calls));
        }
        let none = Vec::new();
        let mut silent = BTreeSet::new();
        for (n, (s, o)) in stock.stages.iter().zip(&ours.stages).enumerate() {
            let step = n.checked_sub(1).and_then(|n| teller.steps.get(n));
            let from_silence = match step {
                Some(FallsSilent(rs)) => !silent.insert(*rs),
                Some(Returns(rs)) => silent.remove(rs),
                _ => false,
            };
            for (last, vs) in (FIRST..).zip(&all) {
                let [s, o] = [s, o].map(|stage| stage.get(&last).unwrap_or(&none));
                // While a server says nothing, the next look is one interval behind the end of the last one.
                let may = match from_silence {
                    true => vs.interval + vs.patience,
                    false => vs.interval,
                } + SLACK
                    + late
                    + script * vs.scripts;
                let same = match step {
                    // Which of the first checks is first is left to chance.
                    None => sorted(s) == sorted(o),
                    Some(_) => {
                        let mut both = s.iter().zip(o);
                        s.len() == o.len()
                            && both.all(|(s, o)| s.1 == o.1 && s.0.abs_diff(o.0) <= may)
                    }
                };
                if !same {
                    let text = &vs.text;
                    found.push(format!("{step:?}, within {may:?}: {s:#?}, {o:#?}\n{text}"));
                }
            }
        }
        found
    }

    /// `number`: each story has other options. `patient`: retries last longer than a server stumbles.
    fn play(number: u64, patient: bool, steps: &[Step]) {
        let seed = std::env::var("LAB_SEED").ok().and_then(|n| n.parse().ok());
        let seed: u64 = seed.unwrap_or(0x9e37_79b9_7f4a_7c15);
        let lateness = Lateness::default();
        let tellers = [STOCK, OURS].map(|binary| Teller {
            binary,
            patient,
            steps,
            seed: seed.wrapping_add(number),
        });
        let told = std::thread::scope(|scope| {
            scope.spawn(|| lateness.watch_naps());
            scope.spawn(|| lateness.watch_scripts());
            let both = tellers
                .each_ref()
                .map(|teller| scope.spawn(move || teller.tell()));
            let both = both.map(std::thread::ScopedJoinHandle::join);
            lateness.over.store(true, Ordering::Relaxed);
            both
        });
        let [Ok(stock), Ok(ours)] = told else {
            panic!("seed {seed}: a story without end");
        };
        let found = differences(&tellers[0], &stock, &ours, lateness.told());
        assert!(
            found.is_empty(),
            "seed {seed}: {}\nOurs logged:\n{}",
            found.join("\n"),
            ours.log
        );
    }
}
