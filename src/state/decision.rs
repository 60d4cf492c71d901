//! Whether a job's state is saved, as a value with its reason. Pure.

use std::fmt;

use super::limit::Limit;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaveMode {
    #[default]
    Auto,
    Always,
    Never,
}

/// What the job did to the state that it started from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    pub compiled: usize,
    pub dropped: usize,
    /// The state that it started from can no longer be restored whole.
    pub damaged: bool,
    /// Units that were not built from what lies there now, although Cargo took them for fresh.
    pub outdated: usize,
    /// Nothing was restored.
    pub first: bool,
    pub units: usize,
    /// Of what was compiled, what the budget had no room for the last time either.
    pub no_room: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveDecision {
    Save,
    Skip(SkipReason),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    Never,
    /// The store does not take anything from this job.
    NotAllowed(String),
    /// Nobody would read it.
    Unread(String),
    OverBudget {
        bytes: u64,
        limit: Limit,
    },
    NothingNew,
    /// But for what the budget has no room for.
    NoRoomForNews,
    NothingBuilt,
}

impl SaveDecision {
    /// `refusal` is what the store says before it is asked to take anything; `unread` why nobody would read it.
    pub fn make(mode: SaveMode, refusal: Option<&str>, unread: Option<&str>, news: News) -> Self {
        match mode {
            SaveMode::Never => Self::Skip(SkipReason::Never),
            _ if refusal.is_some() => Self::Skip(SkipReason::NotAllowed(refusal.unwrap_or_default().to_owned())),
            _ if news.units == 0 => Self::Skip(SkipReason::NothingBuilt),
            SaveMode::Always => Self::Save,
            SaveMode::Auto if unread.is_some() => Self::Skip(SkipReason::Unread(unread.unwrap_or_default().to_owned())),
            SaveMode::Auto if news.first || news.damaged || news.compiled + news.dropped + news.outdated > 0 => {
                Self::Save
            }
            SaveMode::Auto if news.no_room > 0 => Self::Skip(SkipReason::NoRoomForNews),
            SaveMode::Auto => Self::Skip(SkipReason::NothingNew),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("`save: never`"),
            Self::NotAllowed(reason) => f.write_str(reason),
            Self::Unread(reason) => write!(f, "{reason} (`save: always` stores it)"),
            Self::OverBudget { bytes, limit } => write!(f, "it takes {bytes} bytes, and {limit} has no room for it"),
            Self::NothingNew => f.write_str("nothing was compiled and nothing was dropped"),
            Self::NoRoomForNews => {
                f.write_str("nothing was compiled but what there is no room for, and nothing was dropped")
            }
            Self::NothingBuilt => f.write_str("there is nothing in the target folder"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_saved_and_no_news_is_not() {
        let quiet = News { units: 9, ..News::default() };
        assert_eq!(SaveDecision::make(SaveMode::Auto, None, None, quiet), SaveDecision::Skip(SkipReason::NothingNew));
        let full = News { no_room: 3, ..quiet };
        assert_eq!(SaveDecision::make(SaveMode::Auto, None, None, full), SaveDecision::Skip(SkipReason::NoRoomForNews));
        for news in [
            News { compiled: 1, ..quiet },
            News { dropped: 1, ..quiet },
            News { outdated: 1, ..quiet },
            News { damaged: true, ..quiet },
            News { first: true, ..quiet },
        ] {
            assert_eq!(SaveDecision::make(SaveMode::Auto, None, None, news), SaveDecision::Save);
            let refused = SaveDecision::make(SaveMode::Always, Some("read-only"), None, news);
            assert_eq!(refused, SaveDecision::Skip(SkipReason::NotAllowed("read-only".into())));
            assert_eq!(SaveDecision::make(SaveMode::Never, None, None, news), SaveDecision::Skip(SkipReason::Never));
        }
        assert_eq!(SaveDecision::make(SaveMode::Always, None, Some("a tag"), quiet), SaveDecision::Save);
        let news = News { first: true, ..quiet };
        let skipped = SaveDecision::make(SaveMode::Auto, None, Some("a tag"), news);
        assert_eq!(skipped, SaveDecision::Skip(SkipReason::Unread("a tag".into())));
    }
}
