//! A file time in nanoseconds: the unit in which Cargo compares, and so the only one in which anything here is stored. Pure.

use std::fmt;
use std::time::Duration;

use filetime::FileTime;
use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970; good until the year 2262.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(i64);

impl Moment {
    pub const EPOCH: Self = Self(0);

    /// Since 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Since 1970.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    pub fn to_file_time(self) -> FileTime {
        let nanos = u32::try_from(self.0.rem_euclid(1_000_000_000)).unwrap_or(0);
        FileTime::from_unix_time(self.0.div_euclid(1_000_000_000), nanos)
    }

    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// How far `self` lies after `other`; nothing when it does not.
    pub fn since(self, other: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(other.0)).unwrap_or(0))
    }
}

impl From<FileTime> for Moment {
    fn from(time: FileTime) -> Self {
        Self(time.unix_seconds().saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanoseconds())))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_times_survive_the_round_trip_before_and_after_1970() {
        for nanos in [0, 1, 1_795_247_732_834_608_785, -1, -1_500_000_000] {
            assert_eq!(Moment::from(Moment(nanos).to_file_time()), Moment(nanos));
        }
    }
}
