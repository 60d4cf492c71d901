//! The numbers of a job in words, the same wherever they are told: units in use, fresh and compiled; time of compiling, which is a
//! sum over cores; time of waiting, which is by the clock. Pure.

use crate::explain::inspection::Inspection;
use crate::job::outcome::{RestoreOutcome, SaveOutcome};
use crate::words::{count, duration};

/// Less than this is no news, in seconds.
const LITTLE: f64 = 0.5;

/// `3 in use: 1 fresh, 2 compiled (3.1 s of compiling, about 2.0 s by the clock on 4 cores)`.
pub(super) fn units(inspection: &Inspection) -> String {
    let (fresh, compiled) = (inspection.fresh().count(), inspection.compiled().count());
    format!("{} in use: {fresh} fresh, {compiled} compiled{}", fresh + compiled, took(inspection))
}

/// In brackets, if anything was compiled.
pub(super) fn took(inspection: &Inspection) -> String {
    if inspection.compiled().next().is_none() {
        return String::new();
    }
    let (work, waited) = (duration(inspection.seconds_spent()), duration(inspection.waited()));
    format!(" ({work} of compiling, about {waited} by the clock on {})", count(inspection.cores, "core"))
}

/// What the fresh units would have taken.
pub(super) fn spared(inspection: &Inspection) -> Option<String> {
    inspection.fresh().next()?;
    let (work, waiting) = (duration(inspection.seconds_saved()), duration(inspection.waiting_saved()));
    Some(format!("what was fresh would have taken about {waiting} by the clock ({work} of compiling)"))
}

/// What the job gained by the clock, in seconds: less what restore and save took.
pub(super) fn gained(restore: &RestoreOutcome, save: &SaveOutcome) -> f64 {
    save.inspection.waiting_saved() - restore.seconds - save.seconds
}

/// For the headline.
pub(super) fn gain(restore: &RestoreOutcome, save: &SaveOutcome) -> Option<String> {
    save.inspection.fresh().next()?;
    let gained = gained(restore, save);
    Some(if gained >= LITTLE {
        format!("about {} saved", duration(gained))
    } else if gained <= -LITTLE {
        format!("about {} slower than building all of it", duration(-gained))
    } else {
        "about as fast as building all of it".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::cause::Cause;
    use crate::explain::inspection::InspectedUnit;

    fn job(seconds: f64) -> (RestoreOutcome, SaveOutcome) {
        let unit = |seconds, cause, needs| InspectedUnit { seconds, cause, needs, ..InspectedUnit::default() };
        // The second waits for the first, the third for nobody.
        let units = vec![
            unit(10.0, None, Vec::new()),
            unit(2.0, Some(Cause::NeverBuilt), vec![0]),
            unit(4.0, None, Vec::new()),
        ];
        let inspection = Inspection { units, cores: 2, unknown_fields: 0 };
        let save = SaveOutcome { inspection, seconds, ..SaveOutcome::default() };
        (RestoreOutcome { seconds, ..RestoreOutcome::default() }, save)
    }

    #[test]
    fn work_is_a_sum_and_waiting_is_by_the_clock() {
        let (restore, save) = job(1.0);
        let inspection = &save.inspection;
        assert_eq!(
            units(inspection),
            "3 in use: 2 fresh, 1 compiled (2.0 s of compiling, about 2.0 s by the clock on 2 cores)"
        );
        let text = "what was fresh would have taken about 10.0 s by the clock (14.0 s of compiling)";
        assert_eq!(spared(inspection).unwrap(), text);
        assert_eq!(gain(&restore, &save).unwrap(), "about 8.0 s saved");
        assert!(spared(&Inspection::default()).is_none() && took(&Inspection::default()).is_empty());
    }

    #[test]
    fn a_job_that_gained_nothing_says_so() {
        let (restore, save) = job(6.0);
        assert_eq!(gain(&restore, &save).unwrap(), "about 2.0 s slower than building all of it");
        let (restore, save) = job(5.1);
        assert_eq!(gain(&restore, &save).unwrap(), "about as fast as building all of it");
        assert!(gain(&restore, &SaveOutcome::default()).is_none());
    }
}
