//! A unit's fingerprint as Cargo leaves it on disk: the hash file and the JSON beside it. Pure.
//!
//! The schema changes between Cargo versions, so unknown fields and unknown kinds of local input are passed over. The JSON is
//! for people as far as Cargo is concerned; a unit without it is still a unit.

use std::collections::HashMap;

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fingerprint {
    #[serde(deserialize_with = "lenient")]
    rustc: u64,
    #[serde(deserialize_with = "lenient")]
    features: String,
    #[serde(deserialize_with = "lenient")]
    declared_features: String,
    #[serde(deserialize_with = "lenient")]
    target: u64,
    #[serde(deserialize_with = "lenient")]
    profile: u64,
    #[serde(deserialize_with = "lenient")]
    path: u64,
    #[serde(deserialize_with = "lenient")]
    deps: Vec<Value>,
    #[serde(deserialize_with = "lenient")]
    local: Vec<Value>,
    #[serde(deserialize_with = "lenient")]
    rustflags: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    config: u64,
    #[serde(deserialize_with = "lenient")]
    compile_kind: u64,
    #[serde(flatten)]
    unknown: HashMap<String, Value>,
}

/// One thing besides the compiler's settings that a unit's freshness rests on.
#[derive(Debug, PartialEq, Eq)]
pub enum Local {
    /// The newest file of the package, to the nanosecond.
    Precalculated,
    /// The files that the compiler read: by their times, or by what they hold.
    CheckDepInfo {
        by_content: bool,
    },
    RerunIfChanged {
        paths: Vec<String>,
    },
    RerunIfEnvChanged {
        name: String,
        value: Option<String>,
    },
    Unknown,
}

/// What Cargo compares, in the order in which it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    pub rustc: u64,
    pub features: Vec<String>,
    pub declared_features: Vec<String>,
    pub target: u64,
    pub path: u64,
    pub profile: u64,
    pub rustflags: Vec<String>,
    pub config: u64,
    pub compile_kind: u64,
    /// The newest file of the whole package, where that is what counts: `1795247732.834608785s (src/lib.rs)`.
    pub newest_file: Option<String>,
    pub deps: Vec<DepField>,
    /// Fields that this program does not know.
    pub unknown: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepField {
    /// Cargo's number for the package: its name, version and source.
    #[serde(default)]
    pub package: u64,
    pub name: String,
    pub hash: String,
}

impl Fingerprint {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The number under which Cargo remembers the root source; 0 for what has none.
    pub fn path(&self) -> u64 {
        self.path
    }

    /// The fingerprint hashes of the units that this one was built from, as those units' hash files spell them.
    pub fn dependency_hashes(&self) -> Vec<String> {
        let hash = |dep: &Value| dep.as_array()?.last()?.as_u64();
        self.deps.iter().filter_map(hash).map(spell).collect()
    }

    /// What Cargo compared, for comparing it once more.
    pub fn fields(&self) -> Fields {
        let Self { rustc, features, declared_features, target, profile, path, deps, local, .. } = self;
        // Lists are written as the text of a list.
        let list = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| vec![text.to_owned()]);
        let dep = |dep: &Value| {
            let parts = dep.as_array()?;
            Some(DepField {
                package: parts.first()?.as_u64()?,
                name: parts.get(1)?.as_str()?.to_owned(),
                hash: spell(parts.last()?.as_u64()?),
            })
        };
        let newest = local.iter().find_map(|local| local.get("Precalculated")?.as_str());
        Fields {
            rustc: *rustc,
            features: list(features),
            declared_features: list(declared_features),
            target: *target,
            path: *path,
            profile: *profile,
            rustflags: self.rustflags.clone(),
            config: self.config,
            compile_kind: self.compile_kind,
            newest_file: newest.map(str::to_owned),
            deps: deps.iter().filter_map(dep).collect(),
            unknown: self.unknown.len(),
        }
    }

    pub fn locals(&self) -> Vec<Local> {
        self.local.iter().map(Local::read).collect()
    }
}

impl Local {
    fn read(value: &Value) -> Self {
        let Some((kind, body)) = value.as_object().and_then(|object| object.iter().next()) else {
            return Self::Unknown;
        };
        match kind.as_str() {
            "Precalculated" => Self::Precalculated,
            "CheckDepInfo" => Self::CheckDepInfo {
                by_content: body.get("checksum").and_then(Value::as_bool) == Some(true)
                    || body.get("fingerprint").and_then(Value::as_str) == Some("content"),
            },
            "RerunIfChanged" => {
                let paths = body.get("paths").and_then(Value::as_array).into_iter().flatten();
                Self::RerunIfChanged { paths: paths.filter_map(Value::as_str).map(str::to_owned).collect() }
            }
            "RerunIfEnvChanged" => {
                let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
                match text("var") {
                    Some(name) => Self::RerunIfEnvChanged { name, value: text("val") },
                    None => Self::Unknown,
                }
            }
            _ => Self::Unknown,
        }
    }
}

/// A field of another type than it had is as good as one that is not there.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Hash files hold the little-endian bytes of the number as hex.
fn spell(hash: u64) -> String {
    hex::encode(hash.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_read_and_unknown_ones_passed_over() {
        let json = br#"{"rustc":1,"new_field":[1],"deps":[[17725006195620081562,"a",false,18446744073709551615]],
            "local":[{"CheckDepInfo":{"dep_info":"x","fingerprint":"mtime"}},{"Later":{}},
                     {"RerunIfChanged":{"output":"o","paths":["assets"]}},{"RerunIfEnvChanged":{"var":"V","val":null}}]}"#;
        let fingerprint = Fingerprint::parse(json).unwrap();
        assert_eq!(fingerprint.dependency_hashes(), ["ffffffffffffffff"]);
        assert_eq!(
            fingerprint.locals(),
            [
                Local::CheckDepInfo { by_content: false },
                Local::Unknown,
                Local::RerunIfChanged { paths: vec!["assets".into()] },
                Local::RerunIfEnvChanged { name: "V".into(), value: None },
            ]
        );
    }

    #[test]
    fn a_hash_is_spelled_as_the_hash_file_does() {
        assert_eq!(spell(0x0102_0304_0506_0708), "0807060504030201");
    }
}
