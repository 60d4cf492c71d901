//! Each piece of advice: said with this job's figures when there is something to gain, and not said when there is little.

use std::collections::BTreeSet;

use rekindle::explain::advice::{Advice, Measured, Unstored, advise};
use rekindle::explain::cause::Cause;
use rekindle::explain::inspection::Weights;
use rekindle::explain::inspection::{InspectedUnit, Inspection};
use rekindle::state::decision::SkipReason;
use rekindle::state::key::Incremental;
use rekindle::state::key_change::{Part, PartChange};
use rekindle::state::limit::{Bound, Limit};
use rekindle::state::manifest::RunRecord;

/// What a job left, as far as a test fills it.
#[derive(Default)]
struct Job {
    inspection: Inspection,
    weights: Weights,
    rolled: Vec<PartChange>,
    skipped: Option<SkipReason>,
    left_out: Option<Unstored>,
    secret_units: Vec<String>,
    incremental: Incremental,
    untracked: BTreeSet<String>,
    late: BTreeSet<String>,
    sdist_wheel: Option<String>,
    has_shim: bool,
    history: Vec<RunRecord>,
}

impl Job {
    fn of(units: Vec<InspectedUnit>) -> Self {
        Self {
            inspection: Inspection { units, cores: 4, unknown_fields: 0 },
            incremental: Incremental::Variable { name: "CARGO_INCREMENTAL".into(), value: "1".into() },
            ..Self::default()
        }
    }

    fn advice(&self) -> Vec<Advice> {
        advise(&Measured {
            inspection: &self.inspection,
            weights: &self.weights,
            rolled: &self.rolled,
            skipped: self.skipped.as_ref(),
            left_out: self.left_out.as_ref(),
            secret_units: &self.secret_units,
            incremental: &self.incremental,
            untracked: &self.untracked,
            late: &self.late,
            sdist_wheel: self.sdist_wheel.clone(),
            has_shim: self.has_shim,
            history: &self.history,
        })
    }

    /// The one piece of advice, as `id: evidence; fix`.
    #[track_caller]
    fn says(&self, id: &str, evidence: &str, fix: &str) {
        let advice = self.advice();
        assert_eq!(advice.iter().map(|advice| advice.id).collect::<Vec<_>>(), [id]);
        assert!(advice[0].evidence.contains(evidence), "{}", advice[0].evidence);
        assert!(advice[0].fix.contains(fix), "{}", advice[0].fix);
    }

    #[track_caller]
    fn is_silent(&self) {
        assert_eq!(self.advice(), []);
    }
}

fn unit(package: &str, seconds: f64, cause: Option<Cause>) -> InspectedUnit {
    InspectedUnit {
        unit: format!("{package} (lib)"),
        package: package.into(),
        targets: vec![format!("lib-{package}")],
        profile: "debug".into(),
        kind: "lib".into(),
        dir: Some(format!("crates/{package}")),
        setting: 1,
        seconds,
        cause,
        ..InspectedUnit::default()
    }
}

fn changed(path: &str) -> Cause {
    Cause::SourceChanged { path: path.into() }
}

fn follows(root: usize, mut unit: InspectedUnit) -> InspectedUnit {
    unit.cause = Some(Cause::DependencyRebuilt { dependency: "a".into() });
    unit.root = Some(root);
    unit
}

#[test]
fn a_variable_that_is_another_one_each_time() {
    let drift = |name: &str, new: &str, seconds| {
        let cause =
            Cause::EnvChanged { name: name.into(), old: "`/tmp/build-env-a/bin/python`".into(), new: new.into() };
        Job::of(vec![unit("a", seconds, Some(cause)), follows(0, unit("b", seconds, None))])
    };
    let job = drift("PYO3_PYTHON", "`/tmp/build-env-b/bin/python`", 5.0);
    job.says("variable-drifts", "compiled 2 units in 10.0 s; the value looks like it is new", "isolation: alias");
    let job = drift("MODE", "`x`", 5.0);
    job.says("variable-drifts", "`MODE` went from", "the same value in every job");
    drift("MODE", "`x`", 0.1).is_silent();
}

#[test]
fn a_file_that_git_does_not_have() {
    let mut job = Job::of(vec![InspectedUnit { kind: "run".into(), ..unit("a", 5.0, Some(changed("a/made.rs"))) }]);
    job.is_silent();
    job.untracked.insert("a/made.rs".into());
    job.says(
        "untracked-file",
        "`a/made.rs` is not in git, and a job wrote it into a package: that compiled 1 unit in 5.0 s",
        "outside of the package",
    );
}

#[test]
fn a_script_that_names_nothing() {
    let mut script = unit("a", 1.0, Some(changed("crates/a/README.md")));
    let others = [follows(0, unit("b", 4.0, None)), follows(0, unit("c", 2.0, None))];
    Job::of([vec![script.clone()], others.to_vec()].concat()).is_silent();
    script.watches_all = true;
    let job = Job::of([vec![script], others.to_vec()].concat());
    job.says(
        "script-watches-all",
        "`crates/a/README.md` ran it, and 2 units followed: 7.0 s",
        "in `crates/a/build.rs`",
    );
}

#[test]
fn one_crate_in_two_variants() {
    let with = |features: &[&str], flags: &[&str], seconds| InspectedUnit {
        features: features.iter().map(|text| (*text).to_owned()).collect(),
        rustflags: flags.iter().map(|text| (*text).to_owned()).collect(),
        ..unit("syn", seconds, None)
    };
    let job = Job::of(vec![with(&["full"], &[], 9.0), with(&["derive"], &[], 7.0)]);
    job.says(
        "two-feature-sets",
        "1 package was compiled more than once with other features (`syn`: `full` / `derive`), which takes 7.0 s",
        "--workspace",
    );
    let job = Job::of(vec![with(&[], &["-Dwarnings"], 9.0), with(&[], &[], 7.0)]);
    job.says("two-flag-sets", "(`syn`: `-Dwarnings` and (none))", "`RUSTFLAGS` once");
    // Another profile, or built for another machine, is no accident.
    let other = InspectedUnit { setting: 2, ..with(&["derive"], &[], 7.0) };
    Job::of(vec![with(&["full"], &[], 9.0), other]).is_silent();
    Job::of(vec![with(&["full"], &[], 9.0), with(&["derive"], &[], 1.0)]).is_silent();
}

#[test]
fn a_toolchain_that_moved() {
    let change =
        |new: &str| PartChange { part: Part::Toolchain, old: "rustc 1.94.0 (aaa 2026-03-01)".into(), new: new.into() };
    let mut job = Job::of(vec![unit("a", 50.0, Some(Cause::ColdStart))]);
    job.rolled = vec![change("rustc 1.95.0 (bbb 2026-04-14)")];
    job.says("toolchain-moves", "from 1.94.0 (aaa 2026-03-01) to 1.95.0", "`channel = \"1.95.0\"`");
    job.rolled = vec![change("rustc 1.97.0-nightly (ccc 2026-06-01)")];
    job.says("toolchain-moves", "1.97.0-nightly", "nightly-YYYY-MM-DD");
    job.inspection.units[0].seconds = 1.0;
    job.is_silent();
}

#[test]
fn units_that_may_not_be_stored() {
    let mut job = Job::of(vec![unit("a", 8.0, None)]);
    job.secret_units = vec!["a (lib)".into()];
    job.says(
        "secret-in-build",
        "1 unit holds a secret of the environment and cannot be stored, `a (lib)`",
        "at run time",
    );
    job.inspection.units[0].seconds = 0.5;
    job.is_silent();
}

#[test]
fn a_crate_on_which_everything_waits() {
    let job = |dependents: usize| {
        let mut units = vec![unit("core", 4.0, Some(changed("crates/core/src/lib.rs")))];
        units.extend((0..dependents).map(|at| follows(0, unit(&format!("d{at}"), 8.0, None))));
        Job::of(units)
    };
    job(6).says("many-dependents", "6 units that depend on `core` took 48.0 s", "out of `crates/core`");
    job(3).is_silent();
}

#[test]
fn test_programs_incremental_state_and_debug_information() {
    let test = |at: usize| InspectedUnit {
        targets: vec![format!("test-integration-test-t{at}")],
        kind: "test".into(),
        bytes: 20_000_000,
        setting: at as u64 + 10,
        ..unit("app", 2.0, None)
    };
    Job::of((0..10).map(test).collect()).says(
        "many-test-crates",
        "`app` has 10 integration tests, each a program of its own: 200.0 MB",
        "`crates/app/tests/it/main.rs`",
    );
    Job::of((0..7).map(test).collect()).is_silent();

    let mut job = Job::of(Vec::new());
    job.weights.incremental = 300_000_000;
    job.says("incremental-state", "takes 300.0 MB", "now `CARGO_INCREMENTAL=1` decides");
    job.incremental = Incremental::Undecided;
    job.says("incremental-state", "takes 300.0 MB", "leave `incremental: on` out");
    job.weights = Weights { executables: 300_000_000, debuginfo: 200_000_000, ..Weights::default() };
    job.says("debug-information", "200.0 MB of the 300.0 MB", "line-tables-only");
    job.weights.debuginfo = 60_000_000;
    job.is_silent();
}

fn budget(limit: u64) -> Limit {
    Limit { limit, of: Bound::MaxSize }
}

#[test]
fn a_state_over_its_budget() {
    let mut job = Job::of(vec![unit("a", 50.0, Some(Cause::ColdStart))]);
    job.skipped = Some(SkipReason::NothingNew);
    job.is_silent();
    job.skipped = Some(SkipReason::OverBudget { bytes: 4_000_000_000, limit: budget(2_000_000_000) });
    job.says("over-budget", "takes 4.00 GB and `max-size` allows 2.00 GB", "set `max-size` to 5000 MB");
    job.skipped = None;
    let units = vec!["a (bin)".to_owned(), "b (bin)".to_owned()];
    job.left_out = Some(Unstored { units, seconds: 20.0, limit: budget(1_000_000_000), whole: 2_000_000_000 });
    job.says("over-budget", "allows 1.00 GB, so 2 units, 20.0 s of compiling, were not stored", "to 2500 MB");
    job.left_out.as_mut().unwrap().limit.of = Bound::Disk;
    job.says("over-budget", "and the disk has room for 1.00 GB, so", "leave 2500 MB of the disk free");
}

#[test]
fn the_best_five_come_first() {
    let drift = |at: u8| Cause::EnvChanged { name: format!("V{at}"), old: "`a`".into(), new: "`b`".into() };
    let mut job = Job::of((0..9_u8).map(|at| unit("a", 10.0 + f64::from(at), Some(drift(at)))).collect());
    job.inspection.units.iter_mut().enumerate().for_each(|(at, unit)| unit.setting = at as u64 + 1);
    job.weights.incremental = 2_000_000_000;
    let advice = job.advice();
    let ids: Vec<&str> = advice.iter().map(|advice| advice.id).collect();
    assert_eq!(ids[0], "incremental-state");
    assert_eq!(ids.len(), 5);
    assert!(advice[1].evidence.contains("`V8`") && advice[4].evidence.contains("`V5`"), "{advice:#?}");
}

#[test]
fn a_wheel_by_way_of_the_sdist_is_noticed_where_nothing_else_is() {
    let mut job = Job { sdist_wheel: Some("dist/w.whl".to_owned()), ..Job::of(Vec::new()) };
    job.says("sdist-copy", "`dist/w.whl` and its sdist were made", "set `isolation: alias`");
    job.has_shim = true;
    assert_eq!(job.advice(), []);
}
