//! The two machines of a history, and the repository that both follow. The one that is never wiped waits aside while the other
//! one stands at its place, so that both have the same absolute paths.

mod changes;
mod compare;
mod foreseen;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use filetime::FileTime;
use proptest::prop_assert;
use proptest::test_runner::TestCaseError;
use rekindle::cargo::verdict::{self, Verdict};

use super::expect::{self, Key, Ledger};
use super::moves::{Act, Call, Kill, Step};
use super::packages::{self, Part, SECRET, Shape, lines};
use super::site::{self, Site};
use super::tree::{self, Effect};
use crate::support::{World, git, scrub, words, write};

type Lines = BTreeMap<String, String>;
type Units = BTreeSet<String>;

/// What happened on one machine in one job.
#[derive(Default)]
struct Job {
    calls: Vec<(Call, Verdict)>,
    /// Packages whose lines were not those of the tree, with both.
    wrong: BTreeMap<String, (String, String)>,
    effects: Vec<Effect>,
}

pub(super) struct Machines {
    world: World,
    shape: Shape,
    number: u64,
    commits: Vec<String>,
    loud: bool,
    version: u32,
    /// Every value that the secret ever had.
    secrets: Vec<String>,
    searched: BTreeSet<PathBuf>,
    members: BTreeSet<String>,
    /// Packages that Rekindle said it rebuilds.
    named: Ledger,
    /// Packages in which the other machine was stale.
    stale: Ledger,
    /// Packages whose contents, or whose files at all, were played with inside a job.
    rewritten: Ledger,
    touched: Ledger,
    /// Commands whose units were lost to a kill.
    lost: BTreeSet<Key>,
    /// What the last job did to the work tree that is kept.
    effects: Vec<Effect>,
    /// By the last job that was saved.
    ran: Option<foreseen::Ran>,
    restore_takes: Duration,
    save_takes: Duration,
}

impl Machines {
    /// Both machines after a first run.
    pub(super) fn new(shape: &Shape, number: u64, site: &Site) -> Self {
        let mut world = World::new_at(site.world(), "ws", |_| packages::project(shape));
        world.env.insert("PATH".into(), site.path());
        world.env.insert("XDG_CACHE_HOME".into(), world.dir.join("cache").to_str().unwrap().into());
        world.options = vec!["--workspace".into(), ".".into()];
        if shape.contains(&Part::Second) {
            world.options.extend(["--workspace".into(), "../other".into()]);
        }
        if shape.contains(&Part::Submodule) {
            let data = world.dir.join("data");
            write(&data.join("0"), "n");
            git(&data, &["init", "--quiet", "--initial-branch=main"], None);
            git(&data, &["add", "--all"], None);
            git(&data, &["commit", "--quiet", "-m", "first"], Some(world.date));
            git(&world.origin(), &["submodule", "--quiet", "add", data.to_str().unwrap(), "ws/modu/data"], None);
            world.commit("the submodule");
        }
        let commits = vec![world.head()];
        let mut machines = Self {
            members: members(&world),
            world,
            shape: shape.clone(),
            number,
            commits,
            loud: false,
            version: 0,
            secrets: vec![secrets::secret(0)],
            searched: BTreeSet::new(),
            named: Ledger::default(),
            stale: Ledger::default(),
            rewritten: Ledger::default(),
            touched: Ledger::default(),
            lost: BTreeSet::new(),
            effects: Vec::new(),
            ran: None,
            restore_takes: Duration::from_millis(300),
            save_takes: Duration::from_millis(300),
        };
        machines.clone_anew();
        machines.world.restore();
        let first = machines.calls(&[(Call::Build, Vec::new())], &[], FileTime::now());
        assert!(first.wrong.is_empty(), "the model is wrong (left: a build from scratch): {:?}", first.wrong);
        let log = machines.save();
        machines.note_left_out(&log);
        let (work, kept) = (machines.world.work(), machines.kept());
        let copy = Command::new("cp").arg("-a").arg(work).arg(kept).status().unwrap();
        assert!(copy.success());
        // It sees every later commit without fetching it.
        let objects = machines.world.origin().join(".git/objects");
        fs::write(machines.kept().join(".git/objects/info/alternates"), format!("{}\n", objects.display())).unwrap();
        machines
    }

    fn kept(&self) -> PathBuf {
        self.world.dir.join("kept")
    }

    /// A machine on which nothing was ever done.
    fn clone_anew(&self) {
        for path in [self.world.dir.join("state.json"), self.world.dir.join("cache")] {
            let _ = fs::remove_file(&path);
            let _ = fs::remove_dir_all(&path);
        }
        self.world.wipe_and_clone();
        self.update_submodule();
    }

    fn update_submodule(&self) {
        if self.shape.contains(&Part::Submodule) {
            git(&self.world.work(), &["submodule", "--quiet", "update", "--init"], None);
        }
    }

    /// The variables of a step that builds.
    fn build_env(&self) -> BTreeMap<String, String> {
        let mut env = self.world.env.clone();
        if self.shape.contains(&Part::Secret) {
            env.insert(SECRET.into(), self.secrets.last().unwrap().clone());
        }
        env
    }

    /// What the restore wrote down for the save: which units are rebuilt.
    fn decided(&self) -> String {
        let text = std::fs::read_to_string(self.world.dir.join("state.json")).unwrap_or_default();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let doubts = state["outcome"]["doubts"].as_object().into_iter().flatten();
        doubts.map(|(unit, _)| format!("will be rebuilt: {unit}\n")).collect::<Vec<_>>().concat()
    }

    fn call(&self, call: Call) -> Verdict {
        let features = if self.loud { " --features app/loud" } else { "" };
        let arguments = match call {
            Call::Build => format!("build{features}"),
            Call::Test => format!("test --no-run -p app{features}"),
            Call::Release => format!("build --release{features}"),
            Call::Clippy if has_clippy() => format!("clippy{features}"),
            Call::Check | Call::Clippy => format!("check{features}"),
            Call::Doc => "doc --no-deps -p a".to_owned(),
            Call::Second => "build".to_owned(),
        };
        let below = if call == Call::Second { "other" } else { "ws" };
        let verdict = verdict::run(&self.world.work().join(below), &words(&arguments), &self.build_env()).unwrap();
        assert!(verdict.success, "cargo {arguments}: {}", verdict.stderr);
        verdict
    }

    /// What the program that a call built prints, by package.
    fn printed(&self, call: Call) -> Lines {
        let program = match call {
            Call::Build => "ws/target/debug/app",
            Call::Release => "ws/target/release/app",
            Call::Second => "other/target/debug/side",
            _ => return Lines::new(),
        };
        let output = Command::new(self.world.work().join(program)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, text)| (name.into(), text.into())).collect()
    }

    /// Runs a job's calls in the work tree, with what happens in between. `seen` is what was done since Cargo could last look.
    fn calls(&self, calls: &[(Call, Vec<Act>)], seen: &[Effect], copied: FileTime) -> Job {
        let root = self.world.work();
        let mut job = Job::default();
        // What Cargo cannot know by itself.
        let mut hidden: BTreeSet<&str> =
            seen.iter().filter(|effect| effect.matters && !effect.is_visible).map(|effect| effect.package).collect();
        let second = self.shape.contains(&Part::Second).then_some((Call::Second, Vec::new()));
        for (call, acts) in second.iter().chain(calls) {
            job.calls.push((*call, self.call(*call)));
            let expected = lines(&root, &self.shape, &self.build_env(), self.loud);
            for (package, line) in self.printed(*call) {
                // The program prints its own line and those of the rest.
                let on = if package == "app" { vec!["app"] } else { packages::with_dependencies(&package) };
                if line != expected[&package] && !on.iter().any(|name| hidden.contains(name)) {
                    job.wrong.insert(package.clone(), (line, expected[&package].clone()));
                }
            }
            for act in acts {
                job.effects.extend(tree::act(&root, &self.shape, act, copied));
            }
            let invisible = job.effects.iter().filter(|effect| effect.matters && !effect.is_visible);
            hidden.extend(invisible.map(|effect| effect.package));
        }
        job
    }

    /// The same job on the machine that was never wiped. Nothing is hidden from the model here: where the machine is stale, the
    /// other one may have to do more.
    fn kept_job(&self, step: &Step, copied: FileTime) -> Job {
        fs::rename(self.kept(), self.world.work()).unwrap();
        let work = self.world.work();
        if !self.effects.is_empty() {
            tree::clean_up(&work, &self.shape);
        }
        // Brings the times in the index up to date.
        git(&work, &["status", "--porcelain"], None);
        let written: BTreeSet<&str> = self.effects.iter().filter_map(|effect| effect.written).collect();
        if !written.is_empty() {
            let arguments: Vec<&str> = ["checkout", "--quiet", "--"].into_iter().chain(written).collect();
            git(&work, &arguments, None);
        }
        git(&work, &["checkout", "--quiet", "--detach", self.commits.last().unwrap()], None);
        self.update_submodule();
        let mut effects: Vec<Effect> =
            step.before.iter().flat_map(|act| tree::act(&work, &self.shape, act, copied)).collect();
        let mut job = self.calls(&step.calls, &[], copied);
        effects.append(&mut job.effects);
        job.effects = effects;
        fs::rename(self.world.work(), self.kept()).unwrap();
        job
    }

    fn save(&mut self) -> String {
        let start = Instant::now();
        let log = self.world.save_with(&["--keep-unused", "1000"]);
        self.save_takes = start.elapsed();
        log
    }

    /// Starts a phase and kills it, if it is still there by then.
    fn kill(&self, phase: &str, after: Duration) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args([phase, "--state", self.world.dir.join("state.json").to_str().unwrap()]);
        if phase == "restore" {
            command.arg("--store").arg(format!("dir:{}", self.world.store().display())).args(&self.world.options);
        } else {
            command.args(["--keep-unused", "1000"]);
        }
        command.current_dir(self.world.workspace()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        scrub(&mut command);
        let mut child = command.envs(&self.world.env).spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(super) fn step(&mut self, at: usize, step: &Step) -> Result<(), TestCaseError> {
        self.apply(&step.change);
        let copied = FileTime::now();
        let _ = fs::remove_dir_all(self.world.work());
        let kept = self.kept_job(step, copied);

        self.clone_anew();
        let work = self.world.work();
        for act in &step.before {
            tree::act(&work, &self.shape, act, copied);
        }
        let mut log = String::new();
        if let Kill::Restore { percent, again } = step.kill {
            self.kill("restore", self.restore_takes * percent / 100);
            if again {
                // Where the first one was quicker than its end, the second goes on with what that one decided.
                log = self.world.restore() + &self.decided();
            }
        } else {
            let start = Instant::now();
            log = self.world.restore();
            self.restore_takes = start.elapsed();
        }
        let warm = if step.is_plain()
            && !self.shape.contains(&Part::Secret)
            && (at + usize::from(self.number.is_multiple_of(4))).is_multiple_of(4)
        {
            self.explained_job(step)
        } else {
            self.calls(&step.calls, &[], copied)
        };
        self.search(&log)?;
        let mut saved = String::new();
        if let Kill::Save { percent } = step.kill {
            self.kill("save", self.save_takes * percent / 100);
        } else {
            saved = self.save();
        }
        self.search(&saved)?;
        self.compare(step, &kept, &warm, &log)?;
        self.came_as_foreseen(step, &log, &saved)?;
        self.note_left_out(&saved);
        self.effects = kept.effects;
        Ok(())
    }

    /// A plain job whose causes are compared with Cargo's own.
    fn explained_job(&self, step: &Step) -> Job {
        let log = ("CARGO_LOG".to_owned(), "cargo::core::compiler::fingerprint=info".to_owned());
        let mut world_env = self.world.env.clone();
        world_env.extend([log]);
        let features = if self.loud { " --features app/loud" } else { "" };
        let verdict = verdict::run(&self.world.workspace(), &words(&format!("build{features}")), &world_env).unwrap();
        assert!(verdict.success, "{}", verdict.stderr);
        crate::explain::agrees_with_cargo(&self.world, &verdict);
        // Nothing is compiled by the second call; what it finds wrong is what the first one made.
        let mut job = self.calls(&step.calls, &[], FileTime::now());
        for (_, later) in job.calls.iter_mut().filter(|(call, _)| *call == Call::Build) {
            let again = std::mem::replace(later, verdict.clone());
            assert!(again.compiled.is_empty(), "compiled twice in one job: {:?}", again.compiled);
        }
        job
    }

    fn note_left_out(&mut self, log: &str) {
        self.named.add(&expect::named(log, &self.members));
    }

    /// At the end, the model is compared with a build from scratch once more.
    pub(super) fn finish(mut self) -> Result<(), TestCaseError> {
        if self.number.is_multiple_of(4) {
            // By the compiler itself.
            self.world.env.insert("PATH".into(), site::direct_path());
            self.clone_anew();
            let cold = self.calls(&[(Call::Build, Vec::new())], &[], FileTime::now());
            prop_assert!(cold.wrong.is_empty(), "the model is wrong (left: a build from scratch): {:?}", cold.wrong);
        }
        Ok(())
    }
}

/// Names of all packages.
fn members(world: &World) -> BTreeSet<String> {
    let lock = fs::read_to_string(world.workspace().join("Cargo.lock"))
        .or_else(|_| fs::read_to_string(world.origin().join("ws/Cargo.lock")))
        .unwrap();
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.map(str::to_owned).chain(["other-a", "side"].map(str::to_owned)).collect()
}

fn has_clippy() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    let ask =
        || Command::new("cargo").args(["clippy", "--version"]).output().is_ok_and(|output| output.status.success());
    *IS_THERE.get_or_init(ask)
}
