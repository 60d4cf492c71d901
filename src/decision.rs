//! Whether a job's state is saved, as a value with its reason.

use std::fmt;

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
    /// Nothing was restored.
    pub first: bool,
    pub units: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveDecision {
    Save,
    Skip(SkipReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    Never,
    NothingNew,
    NothingBuilt,
}

impl SaveDecision {
    pub fn make(mode: SaveMode, news: News) -> Self {
        match mode {
            SaveMode::Never => Self::Skip(SkipReason::Never),
            _ if news.units == 0 => Self::Skip(SkipReason::NothingBuilt),
            SaveMode::Always => Self::Save,
            SaveMode::Auto if news.first || news.damaged || news.compiled + news.dropped > 0 => Self::Save,
            SaveMode::Auto => Self::Skip(SkipReason::NothingNew),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "`save: never`",
            Self::NothingNew => "nothing was compiled and nothing was dropped",
            Self::NothingBuilt => "there is nothing in the target folder",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_saved_and_no_news_is_not() {
        let quiet = News { units: 9, ..News::default() };
        assert_eq!(SaveDecision::make(SaveMode::Auto, quiet), SaveDecision::Skip(SkipReason::NothingNew));
        for news in [
            News { compiled: 1, ..quiet },
            News { dropped: 1, ..quiet },
            News { damaged: true, ..quiet },
            News { first: true, ..quiet },
        ] {
            assert_eq!(SaveDecision::make(SaveMode::Auto, news), SaveDecision::Save);
            assert_eq!(SaveDecision::make(SaveMode::Never, news), SaveDecision::Skip(SkipReason::Never));
        }
        assert_eq!(SaveDecision::make(SaveMode::Always, quiet), SaveDecision::Save);
    }
}
