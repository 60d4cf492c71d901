//! Whole reports: what people see on the page of a run, for every kind of run; and that no name can break it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, TagEnd};
use rekindle::explain::advice::{self, Measured};
use rekindle::explain::cause::Cause;
use rekindle::explain::forecast::{self, Forecast, Reason};
use rekindle::explain::inspection::Weights;
use rekindle::explain::inspection::{InspectedUnit, Inspection};
use rekindle::github::{Roll, RollSource};
use rekindle::job::outcome::{RestoreOutcome, SaveOutcome, Saved, Stamping, Start};
use rekindle::moment::Moment;
use rekindle::problem::Warning;
use rekindle::python::Interpreter;
use rekindle::report::{html, json, summary};
use rekindle::state::decision::SkipReason;
use rekindle::state::delta::{DeltaKind, NewBase};
use rekindle::state::key::{Fit, Incremental};
use rekindle::state::key_change::{Part, PartChange};
use rekindle::state::limit::{Bound, Limit};
use rekindle::state::manifest::RunRecord;
use serde_json::Value;

const KEY: &str = "rekindle.3.ci-test-0123456789abcdef.89abcdef01234567.fedcba9876543210.76543210.01234567";

/// One job, from which each test changes what it is about.
struct Story {
    job: String,
    restore: RestoreOutcome,
    save: SaveOutcome,
    rolled: Vec<PartChange>,
    skipped: Option<SkipReason>,
}

impl Story {
    /// A library, a dependency and two programs, all fresh.
    fn warm() -> Self {
        let units = vec![
            unit("serde", "lib", 12.5, None),
            unit("core", "lib", 4.25, None),
            unit("app", "bin", 2.0, None),
            unit("app", "test", 3.0, None),
        ];
        let start = Start::Restored { key: KEY.into(), fit: Fit::Soft, units: 4, sibling: None };
        let stamping = Stamping { same: 120, ..Stamping::default() };
        let restore = RestoreOutcome {
            start,
            key: KEY.into(),
            files: 40,
            bytes: 25_000_000,
            seconds: 1.2,
            stamping,
            ..RestoreOutcome::default()
        };
        let run = |number: usize, compiled: usize, seconds: f64| RunRecord {
            commit: Some(format!("{number:07x}{number:033x}")),
            at: Moment::from_nanos(1),
            restored: None,
            compiled,
            seconds,
            saved: 21.75 - seconds,
            bytes: 80_000_000 + number as u64 * 1_500,
            advice: Vec::new(),
        };
        let save = SaveOutcome {
            inspection: Inspection { units, cores: 4, unknown_fields: 0 },
            weights: Weights {
                by_kind: BTreeMap::from([
                    ("lib".into(), 60_000_000),
                    ("bin".into(), 12_000_000),
                    ("test".into(), 15_000_000),
                ]),
                incremental: 0,
                executables: 27_000_000,
                debuginfo: 9_000_000,
            },
            history: vec![run(0xabc, 4, 21.75), run(0xdef, 1, 2.0), run(0x123, 0, 0.0)],
            live: 4,
            target: Saved::Skipped(SkipReason::NothingNew),
            home: Saved::NothingFetched,
            seconds: 0.3,
            ..SaveOutcome::default()
        };
        Self { job: "test (stable)".into(), restore, save, rolled: Vec::new(), skipped: None }
    }

    /// Makes units compiled, by place.
    fn compiled(mut self, causes: &[(usize, Cause, Option<usize>)]) -> Self {
        for (at, cause, root) in causes {
            self.save.inspection.units[*at].cause = Some(cause.clone());
            self.save.inspection.units[*at].root = *root;
        }
        let key = KEY.into();
        self.save.target =
            Saved::Stored { key, kind: DeltaKind::Delta, files: 6, bytes: 2_400_000, content_bytes: 87_000_000 };
        self
    }

    fn page(mut self) -> String {
        self.page_of()
    }

    fn page_of(&mut self) -> String {
        self.restore.rolled.clone_from(&self.rolled);
        self.save.advice = advice::advise(&Measured {
            inspection: &self.save.inspection,
            weights: &self.save.weights,
            rolled: &self.rolled,
            skipped: self.skipped.as_ref(),
            left_out: self.save.left_out.as_ref(),
            secret_units: &self.save.secret_units,
            incremental: &Incremental::Undecided,
            untracked: &["/w/app/src/made.rs".to_owned()].into(),
            late: &BTreeSet::new(),
            sdist_wheel: None,
            has_shim: false,
            history: &[],
        });
        // As if the first of them were old news.
        if let (Some(advice), Some(run)) = (self.save.advice.first_mut(), self.save.history.last_mut()) {
            advice.said_before = 1;
            run.advice = vec![advice.name()];
        }
        summary::markdown(&self.job, &self.restore, &self.save)
    }
}

fn unit(package: &str, kind: &str, seconds: f64, cause: Option<Cause>) -> InspectedUnit {
    InspectedUnit {
        unit: format!("{package} ({kind})"),
        package: package.into(),
        targets: vec![format!("{kind}-{package}")],
        profile: "debug".into(),
        kind: kind.into(),
        dir: (package != "serde").then(|| format!("crates/{package}")),
        seconds,
        bytes: 5_000_000,
        cause,
        ..InspectedUnit::default()
    }
}

fn follows(dependency: &str) -> Cause {
    Cause::DependencyRebuilt { dependency: dependency.into() }
}

#[test]
fn a_warm_run() {
    insta::assert_snapshot!(Story::warm().page());
}

#[test]
fn a_cold_run() {
    let mut story = Story::warm().compiled(&[0, 1, 2, 3].map(|at| (at, Cause::ColdStart, None)));
    story.restore.start = Start::Cold;
    story.restore.bytes = 0;
    story.save.history.drain(1..);
    story.save.target = Saved::Stored {
        key: KEY.into(),
        kind: DeltaKind::Base(NewBase::NothingRestored),
        files: 40,
        bytes: 25_000_000,
        content_bytes: 87_000_000,
    };
    insta::assert_snapshot!(story.page());
}

#[test]
fn a_leaf_was_edited() {
    let edit = Cause::SourceChanged { path: "/w/app/src/main.rs".into() };
    let mut story = Story::warm().compiled(&[(2, edit.clone(), None), (3, edit, None)]);
    story.restore.stamping.differing = vec!["/w/app/src/main.rs".into()];
    insta::assert_snapshot!(story.page());
}

#[test]
fn a_locked_package_was_bumped() {
    let bump = Cause::LockBumped { package: "serde".into(), old: "1.0.1".into(), new: "1.0.2".into() };
    let mut story = Story::warm().compiled(&[
        (0, bump, None),
        (1, follows("serde (lib)"), Some(0)),
        (2, follows("core (lib)"), Some(0)),
        (3, follows("core (lib)"), Some(0)),
    ]);
    story.restore.start = Start::Restored { key: KEY.into(), fit: Fit::Hard, units: 4, sibling: None };
    story.rolled = vec![
        change(Part::LockedPackage("serde 1.0.1".into()), "registry abc", ""),
        change(Part::LockedPackage("serde 1.0.2".into()), "", "registry def"),
    ];
    insta::assert_snapshot!(story.page());
}

fn change(part: Part, old: &str, new: &str) -> PartChange {
    PartChange { part, old: old.into(), new: new.into() }
}

#[test]
fn the_toolchain_rolled() {
    let mut story = Story::warm().compiled(&[0, 1, 2, 3].map(|at| (at, Cause::ColdStart, None)));
    story.restore.start = Start::Cold;
    story.rolled = vec![change(Part::Toolchain, "rustc 1.94.0 (aaa 2026-03-01)", "rustc 1.95.0 (bbb 2026-04-14)")];
    insta::assert_snapshot!(story.page());
}

#[test]
fn a_variable_drifted() {
    let drift = Cause::EnvChanged {
        name: "PYO3_PYTHON".into(),
        old: "`/home/u/.cache/uv/builds-v0/.tmpXYKtbj/bin/python`".into(),
        new: "`/home/u/.cache/uv/builds-v0/.tmpNBIHbD/bin/python`".into(),
    };
    let story = Story::warm().compiled(&[(1, drift, None), (2, follows("core (lib)"), Some(1))]);
    insta::assert_snapshot!(story.page());
}

#[test]
fn a_degraded_run() {
    let mut story = Story::warm().compiled(&[0, 1, 2, 3].map(|at| (at, Cause::ColdStart, None)));
    story.restore.start = Start::Cold;
    story.restore.warnings.push(Warning::new("the cache service: no connection to `cache.example` within 5 s"));
    story.save.target = Saved::Failed;
    story.save.warnings.push(Warning::new("the target folder was not saved: no connection"));
    insta::assert_snapshot!(story.page());
}

/// Every list full, every number large.
fn everything(name: &dyn Fn(usize) -> String) -> Story {
    let mut story = Story::warm();
    story.save.inspection.units = (0..500)
        .map(|at| {
            let path = name(at);
            let cause = match at % 7 {
                0 => Cause::SourceChanged { path },
                1 => Cause::EnvChanged { name: path, old: "`a`".into(), new: "`b`".into() },
                2 => Cause::FeaturesChanged { added: vec![path.clone()], removed: vec![path] },
                3 => Cause::Forced { reason: path },
                4 => Cause::RustflagsChanged { old: path, new: String::new() },
                _ => follows(&path),
            };
            let root = cause.is_cascade().then(|| at - at % 7);
            let mut unit = unit(&name(at), "lib", 1.0 + f64::from(u32::try_from(at).unwrap()) / 10.0, Some(cause));
            unit.root = root;
            unit
        })
        .collect();
    story.restore.stamping.differing = (0..500).map(name).collect();
    story.restore.interpreters =
        (0..20).map(|at| Interpreter { path: name(at), name: name(at), tag: name(at) }).collect();
    story.restore.notes = (0..50).map(name).collect();
    story.restore.doubts = (0..500).map(|at| (format!("{at} {}", name(at)), Vec::new())).collect();
    story.restore.roll = Some(Roll { text: name(1), wished_by: RollSource::Label });
    story.rolled = (0..50).map(|at| change(Part::Manifest(name(at)), &name(at + 1), &name(at + 2))).collect();
    story.save.secret_units = (0..50).map(name).collect();
    story.save.history.iter_mut().for_each(|run| run.commit = Some(name(7)));
    (0..30).for_each(|at| story.save.warnings.push(Warning::new(name(at))));
    story.job = name(3);
    let reasons = (0..9).map(|at| Reason { text: name(at), units: at + 1, seconds: 1.5 }).collect();
    story.restore.forecast = Some(Forecast { known: 40, units: Vec::new(), reasons, seconds: 190.0, cores: 4 });
    story.save.forecast = Some(forecast::Outcome { right: 30, needless: 2, missed: 1, new: 0 });
    story
}

#[test]
fn everything_at_once() {
    let page = everything(&|at| format!("crates/number-{at}/src/lib.rs")).page();
    assert!(page.len() < 64 << 10, "{}", page.len());
    insta::assert_snapshot!(page);
}

#[test]
fn hostile_names() {
    let evil = "a`|b]\n```\n</details><img src=x onerror=alert(1)>%%{init}%% \"quoted\" [x](javascript:1) $x$ @all #1 ::set\u{202e}";
    insta::assert_snapshot!(everything(&|at| format!("{evil} {at}")).page());
}

/// However long names are, the page fits.
#[test]
fn long_names_fit() {
    let page = everything(&|at| format!("{at}{}", "&".repeat(5_000))).page();
    assert!(page.len() < 64 << 10, "{}", page.len());
    assert!(page.contains("left out for length"), "{page}");
}

/// Names of fields and causes in the documentation, and those that there are.
#[test]
fn the_report_file_is_documented() {
    let mut story = everything(&|at| format!("n{at}"));
    let unit = &mut story.save.inspection.units[0];
    (unit.watches_all, unit.started, unit.files) = (true, Some(Moment::from_nanos(1)), vec!["f".into()]);
    let _ = story.page_of();
    let report: Value = serde_json::from_str(&json::job(&story.restore, &story.save).unwrap()).unwrap();
    let mut fields = BTreeSet::new();
    collect_fields(&report, &mut fields);
    let text = include_str!("../../docs/report.md");
    let (tables, causes) = text.split_once("A cause is an object").unwrap();
    assert_eq!(first_cells(tables), fields);

    let source = include_str!("../../src/explain/cause.rs");
    let body = source.split_once("pub enum Cause {").unwrap().1.split_once("\n}").unwrap().0;
    let variants =
        body.lines().filter_map(|line| line.strip_prefix("    ").filter(|rest| rest.starts_with(char::is_uppercase)));
    let kebab = |name: &str| {
        let name = name.trim_end_matches([',', '{', ' ']);
        let parts: Vec<String> = name
            .char_indices()
            .map(|(at, c)| {
                if c.is_uppercase() && at > 0 { format!("-{}", c.to_lowercase()) } else { c.to_lowercase().to_string() }
            })
            .collect();
        parts.concat()
    };
    assert_eq!(first_cells(causes), variants.map(kebab).collect());
}

/// One of each kind of cause, in the order of the documentation.
#[cfg(target_os = "linux")]
fn one_of_each_cause() -> Vec<Cause> {
    let text = || "x".to_owned();
    let (old, new, list) = (text, text, || vec![text()]);
    vec![
        Cause::ColdStart,
        Cause::NeverBuilt,
        Cause::Pruned,
        Cause::LeftOut { limit: Limit { limit: 1, of: Bound::MaxSize } },
        Cause::OtherMode { mode: text(), had: list() },
        Cause::OtherProfile { profile: text(), had: list() },
        Cause::OtherSettings,
        Cause::OtherCrateTypes,
        Cause::Unfinished,
        Cause::Forced { reason: text() },
        Cause::SourceChanged { path: text() },
        Cause::SourceGone { path: text() },
        Cause::NeverThere { path: text() },
        Cause::EnvChanged { name: text(), old: old(), new: new() },
        Cause::ChangedBack { names: list(), values: Some((old(), new())) },
        Cause::ChangedBack { names: list(), values: None },
        Cause::VariantsTakeTurns { dependency: text() },
        Cause::ToolchainChanged { old: old(), new: new() },
        Cause::FeaturesChanged { added: list(), removed: Vec::new() },
        Cause::DeclaredFeaturesChanged { added: list(), removed: Vec::new() },
        Cause::ProfileChanged { differences: list() },
        Cause::RustflagsChanged { old: old(), new: String::new() },
        Cause::LockBumped { package: text(), old: old(), new: new() },
        Cause::VersionChanged { package: text(), old: old(), new: new() },
        Cause::TargetChanged,
        Cause::TargetDefinitionChanged { differences: list() },
        Cause::ConfigChanged,
        Cause::PathMoved,
        Cause::DependencyAdded { name: text() },
        Cause::DependencyRemoved { name: text() },
        Cause::DependencyRenamed { old: old(), new: new() },
        Cause::OutputMissing,
        Cause::OtherVariant { dependency: text(), difference: text() },
        Cause::DependencyNewer { dependency: text() },
        Cause::DependencyRebuilt { dependency: text() },
        Cause::Unexplained,
    ]
}

/// Which of the documents `docs/report.schema.json` refuses, by place.
#[cfg(target_os = "linux")]
fn refused(documents: &[Value]) -> BTreeSet<usize> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let path = |at: usize| dir.path().join(format!("{at}.json"));
    for (at, document) in documents.iter().enumerate() {
        std::fs::write(path(at), document.to_string()).unwrap();
    }
    let output = std::process::Command::new(root.join("target/tools/bin/check-jsonschema"))
        .args(["--output-format", "json", "--schemafile", "docs/report.schema.json"])
        .args((0..documents.len()).map(path))
        .current_dir(root)
        .output()
        .expect("tests/all.sh installs check-jsonschema");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let result: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:?}"));
    assert!(result["parse_errors"].as_array().is_none_or(Vec::is_empty), "{said}");
    let files = result["errors"].as_array().unwrap().iter().map(|error| error["filename"].as_str().unwrap());
    (0..documents.len()).filter(|at| files.clone().any(|file| std::path::Path::new(file) == path(*at))).collect()
}

/// The example of `docs/report.md`.
#[cfg(target_os = "linux")]
fn example() -> Value {
    let (_, rest) = include_str!("../../docs/report.md").split_once("```json\n").unwrap();
    serde_json::from_str(rest.split("```").next().unwrap()).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn every_report_and_the_example_are_as_the_schema_says() {
    let of_job = |story: &Story| json::job(&story.restore, &story.save).unwrap();
    let mut full = everything(&|at| format!("n{at}"));
    let unit = &mut full.save.inspection.units[0];
    (unit.watches_all, unit.started, unit.files) = (true, Some(Moment::from_nanos(1)), vec!["f".into()]);
    let _ = full.page_of();
    let mut causes = Story::warm();
    let units = one_of_each_cause().into_iter().map(|cause| self::unit("p", "lib", 1.0, Some(cause)));
    causes.save.inspection.units = units.collect();
    let mut texts = vec![of_job(&full), of_job(&causes), of_job(&Story::warm())];
    texts.push(json::inspection(&causes.save.inspection).unwrap());
    texts.push(json::inspection(&Inspection::default()).unwrap());
    let mut documents: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    documents.push(example());
    assert_eq!(refused(&documents), BTreeSet::new());

    // The reports above hold everything that there is: all fields, and all causes.
    let schema: Value = serde_json::from_str(include_str!("../../docs/report.schema.json")).unwrap();
    let mut written = BTreeSet::new();
    for document in &documents {
        collect_fields(document, &mut written);
    }
    let objects = schema["$defs"].as_object().unwrap().iter().filter(|(name, _)| *name != "cause");
    let objects = objects.map(|(_, object)| object).chain([&schema]);
    let named = objects.filter_map(|object| object["properties"].as_object()).flat_map(|map| map.keys().cloned());
    assert_eq!(named.collect::<BTreeSet<_>>(), written);
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    let kinds: BTreeSet<String> =
        one_of_each_cause().iter().map(|cause| name(&serde_json::to_value(cause).unwrap()["because"])).collect();
    let of_schema = schema["$defs"]["cause"]["oneOf"].as_array().unwrap();
    let of_schema = of_schema.iter().map(|cause| name(&cause["properties"]["because"]["const"]));
    assert_eq!(of_schema.collect::<BTreeSet<_>>(), kinds);
    let (_, documented) = include_str!("../../docs/report.md").split_once("A cause is an object").unwrap();
    assert_eq!(first_cells(documented), kinds);
}

/// The example speaks of one job: what it counts is what it lists.
#[cfg(target_os = "linux")]
#[test]
fn the_example_of_a_report_adds_up() {
    let example = example();
    let units = example["units"].as_array().unwrap();
    let compiled = units.iter().filter(|unit| !unit["cause"].is_null()).count();
    assert_eq!((&example["compiled"], &example["fresh"]), (&compiled.into(), &(units.len() - compiled).into()));
    for rebuild in example["rebuilds"].as_array().unwrap() {
        assert!(units.iter().any(|unit| unit["cause"] == rebuild["cause"]), "{rebuild}");
    }
}

/// Whoever writes a field and does not document it fails, wherever the field is.
#[cfg(target_os = "linux")]
#[test]
fn a_field_that_the_schema_does_not_name_is_refused() {
    let places = ["", "/rebuilds/0", "/rebuilds/0/cause", "/units/0", "/units/0/cause", "/weights", "/history/0"];
    let with = |place: &&str| {
        let mut report = example();
        report.pointer_mut(place).unwrap().as_object_mut().unwrap().insert("more".into(), 1.into());
        report
    };
    let mut documents: Vec<Value> = places.iter().map(with).collect();
    let mut lacking = example();
    lacking["units"][0].as_object_mut().unwrap().remove("bytes");
    documents.push(lacking);
    assert_eq!(refused(&documents), (0..documents.len()).collect());
}

fn first_cells(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `because`"));
    let cells = rows.filter_map(|line| line.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Names of all fields, except inside causes and of maps whose names are values.
fn collect_fields(value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_fields(item, fields)),
        Value::Object(map) => {
            for (name, value) in map {
                fields.insert(name.clone());
                if name != "cause" && name != "by_kind" {
                    collect_fields(value, fields);
                }
            }
        }
        _ => {}
    }
}

/// What a page consists of, text aside. Code and plain text are the same to a reader.
fn structure(page: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for event in Parser::new_ext(page, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_MATH) {
        let part = match event {
            Event::Text(_) | Event::Code(_) | Event::SoftBreak => continue,
            Event::Html(html) | Event::InlineHtml(html) => html.to_string(),
            Event::End(TagEnd::CodeBlock) => "end of code".into(),
            other => format!("{other:?}"),
        };
        parts.push(part);
    }
    parts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_changes_the_structure(name in "[ -~\\n\\t`|<>\\[\\]()*_#&;:@$%{}\u{202e}é]{0,40}") {
        let plain = structure(&everything(&|at| format!("n{at}")).page());
        let page = everything(&|at| format!("{name}{at}")).page();
        prop_assert_eq!(structure(&page), plain, "{}", page);
        let inspection = everything(&|at| format!("{name}{at}")).save.inspection;
        // Code in words is the one tag that a name can bring.
        let tags = |page: &str| page.matches('<').count() - page.matches("<code>").count() * 2;
        let plain = everything(&|at| format!("n{at}")).save.inspection;
        let (page, plain) = (html::page(&name, &inspection), html::page("n", &plain));
        prop_assert_eq!(tags(&page), tags(&plain));
    }
}
