//! What the kernel holds at each stage of a story: what stock makes of it is what ours has to make of it.

use std::time::Duration;

use crate::lab::daemon::Daemon;
use crate::lab::poll;
use crate::world::{LIMIT, OURS, STOCK, World};

/// Between two looks at the table.
const PACE: Duration = Duration::from_millis(200);

/// What it is, and what the kernel holds then.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    name: String,
    /// Looked at again and again: `ipvsadm` takes a process each time.
    glance: Vec<String>,
    held: Vec<String>,
}

/// See the module. Whoever tells the story first says what is to come of it; or each tells it to itself, and these are
/// compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stages {
    known: Vec<Stage>,
    /// How many the second one has told; `None`: the first one tells.
    told: Option<usize>,
}

impl Stages {
    /// The next one tells the story from the start.
    pub(crate) fn again(&mut self) {
        self.told = Some(0);
    }

    /// The next stage. `comes`: whether what the first one has made of it is what it waits for.
    ///
    /// # Panics
    /// When it does not come.
    pub(crate) fn expect(
        &mut self,
        what: &str,
        world: &World,
        daemon: &Daemon,
        mut comes: impl FnMut(&World) -> bool,
    ) {
        let Some(told) = &mut self.told else {
            let came = poll(LIMIT, || {
                let came = comes(world);
                std::thread::sleep(if came { Duration::ZERO } else { PACE });
                came.then_some(())
            });
            // All of it at the same moment.
            let stage = poll(LIMIT, || {
                let (glance, held) = (world.glance(), world.held());
                let name = what.to_owned();
                (world.glance() == glance).then_some(Stage { name, glance, held })
            });
            let stage = stage.filter(|_| came.is_some());
            let stage = stage.unwrap_or_else(|| {
                let held = world.held();
                panic!("{what}: {held:#?}\n{}", daemon.log())
            });
            return self.known.push(stage);
        };
        let Stage { name, glance, held } = self.known.get(*told).expect("the same story");
        *told += 1;
        assert_eq!(name, what, "the same story");
        let mut last = Vec::new();
        let same = poll(LIMIT, || {
            last = world.glance();
            let same = last == *glance && {
                last = world.held();
                last == *held
            };
            std::thread::sleep(if same { Duration::ZERO } else { PACE });
            same.then_some(())
        });
        if same.is_none() {
            last = world.held();
        }
        let wanted = held;
        let missing: Vec<_> = wanted.iter().filter(|l| !last.contains(l)).collect();
        let more: Vec<_> = last.iter().filter(|l| !wanted.contains(l)).collect();
        assert!(
            same.is_some(),
            "{what}: missing {missing:#?}, too much {more:#?}\n{}",
            daemon.log()
        );
    }
}

/// For [`Stages::expect`]: the table has been the same for a while, and nothing happens to it any more.
pub(crate) fn at_rest() -> impl FnMut(&World) -> bool {
    let (mut before, mut same) = (Vec::new(), 0);
    move |world| {
        let now = world.glance();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        same >= 4
    }
}

/// The story told by stock and by ours: most of the time they wait, so at the same time.
pub(crate) fn both<T: Send>(tell: impl Fn(&str) -> T + Sync) -> [T; 2] {
    std::thread::scope(|scope| {
        let tellers = [STOCK, OURS].map(|binary| scope.spawn(|| tell(binary)));
        tellers.map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
    })
}
