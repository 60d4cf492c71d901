//! The report for programs, as `docs/report.md` has it. `format` grows when a field changes its meaning or goes away; new fields may come at any time.

use anyhow::Result;
use serde::Serialize;

use super::outputs;
use crate::explain::advice::Advice;
use crate::explain::cause::Cause;
use crate::explain::forecast::{self, Forecast, Reason};
use crate::explain::inspection::Weights;
use crate::explain::inspection::{InspectedUnit, Inspection};
use crate::job::outcome::{RestoreOutcome, SaveOutcome};
use crate::python::Interpreter;
use crate::state::manifest::RunRecord;

const FORMAT: u32 = 1;

/// One job: what it started from, and what it compiled and why.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format: u32,
    /// `exact`, `partial` or `miss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    rolled: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    interpreters: &'a [Interpreter],
    fresh: usize,
    compiled: usize,
    seconds_saved: f64,
    seconds_spent: f64,
    waiting_saved: f64,
    waited: f64,
    cores: usize,
    unexplained: usize,
    unknown_fields: usize,
    rebuilds: Vec<Rebuild<'a>>,
    units: &'a [InspectedUnit],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    advice: &'a [Advice],
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<ForecastReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a Weights>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    history: &'a [RunRecord],
    warnings: Vec<String>,
}

/// What was foreseen when the restore ended, and how it turned out.
#[derive(Debug, Serialize)]
struct ForecastReport<'a> {
    known: usize,
    expected: usize,
    seconds: f64,
    cores: usize,
    reasons: &'a [Reason],
    right: usize,
    needless: usize,
    missed: usize,
    new: usize,
}

impl<'a> ForecastReport<'a> {
    fn of(told: &'a Forecast, outcome: forecast::Outcome) -> Self {
        let Forecast { known, units, reasons, seconds, cores } = told;
        let forecast::Outcome { right, needless, missed, new } = outcome;
        Self {
            known: *known,
            expected: units.len(),
            seconds: *seconds,
            cores: *cores,
            reasons,
            right,
            needless,
            missed,
            new,
        }
    }
}

/// A root cause, the units that it hit, and how many followed. Of several packages that a lock file moved it is the most expensive.
#[derive(Debug, Serialize)]
struct Rebuild<'a> {
    cause: &'a Cause,
    text: String,
    units: Vec<&'a str>,
    cascades: usize,
    seconds: f64,
}

/// What a command compiled.
pub fn inspection(inspection: &Inspection) -> Result<String> {
    Ok(serde_json::to_string_pretty(&report(inspection))?)
}

/// What a whole job did.
pub fn job(restore: &RestoreOutcome, save: &SaveOutcome) -> Result<String> {
    let report = Report {
        state: Some(outputs::state(restore)),
        key: Some(&restore.key),
        rolled: restore.rolled.iter().map(ToString::to_string).collect(),
        advice: &save.advice,
        forecast: restore.forecast.as_ref().zip(save.forecast).map(|(told, outcome)| ForecastReport::of(told, outcome)),
        weights: Some(&save.weights),
        history: &save.history,
        interpreters: &restore.interpreters,
        warnings: restore.warnings.iter().chain(&save.warnings).map(ToString::to_string).collect(),
        ..report(&save.inspection)
    };
    Ok(serde_json::to_string_pretty(&report)?)
}

fn report(inspection: &Inspection) -> Report<'_> {
    let rebuilds = inspection.rebuilds().into_iter().map(|rebuild| Rebuild {
        cause: rebuild.cause,
        text: rebuild.text,
        units: rebuild.units.iter().map(|unit| unit.unit.as_str()).collect(),
        cascades: rebuild.cascades,
        seconds: rebuild.seconds,
    });
    Report {
        format: FORMAT,
        state: None,
        key: None,
        rolled: Vec::new(),
        interpreters: &[],
        fresh: inspection.fresh().count(),
        compiled: inspection.compiled().count(),
        seconds_saved: inspection.seconds_saved(),
        seconds_spent: inspection.seconds_spent(),
        waiting_saved: inspection.waiting_saved(),
        waited: inspection.waited(),
        cores: inspection.cores,
        unexplained: inspection.compiled().filter(|unit| unit.cause == Some(Cause::Unexplained)).count(),
        rebuilds: rebuilds.collect(),
        unknown_fields: inspection.unknown_fields,
        units: &inspection.units,
        advice: &[],
        forecast: None,
        weights: None,
        history: &[],
        warnings: Vec::new(),
    }
}
