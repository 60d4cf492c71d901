//! What a manifest says of files that git tracks beyond the source roots and that somebody read while units were compiled. Pure.
//!
//! A file that nobody read is not here, so that a large repository around a small workspace costs a manifest nothing.

use serde::{Deserialize, Serialize};

use crate::digest::ContentId;

/// What was read beyond the source roots, and in which jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadBeyond {
    pub inputs: Vec<BeyondInput>,
    /// For each set of `Manifest::unread`, by its place: what was read in that job, as indices.
    pub sets: Vec<Vec<usize>>,
}

/// Something beyond the source roots as it was when it was read: a file by its bytes, a link by its text, a folder by the
/// names that git knows of in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BeyondInput {
    pub path: String,
    pub id: ContentId,
}

impl ReadBeyond {
    /// What was read in the job that saw this set.
    pub fn of_set(&self, set: usize) -> impl Iterator<Item = usize> {
        self.sets.get(set).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, ManifestError};
    use crate::digest::ContentId;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::BeyondInput;

    #[test]
    fn a_manifest_that_points_at_nothing_read_is_refused() {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let mut manifest = Manifest::blank(parts, Vec::new());
        manifest.beyond.inputs = vec![BeyondInput { path: "/r/q".into(), id: ContentId::of_link("q") }];
        manifest.beyond.sets = vec![Vec::new(), vec![0]];
        assert_eq!(manifest.check(), Ok(()));
        manifest.beyond.sets.push(vec![1]);
        assert_eq!(manifest.check(), Err(ManifestError::BadIndex { what: "file beyond", index: 1 }));
    }
}
