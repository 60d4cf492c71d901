//! Numbers as people read them.

/// `1 unit`, `2 units`.
pub fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// Seconds for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{seconds:.1} s"),
        ..5_400.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

/// Bytes for people, in powers of ten.
pub fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
    let number = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", number / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", number / 1e6),
        _ => format!("{:.2} GB", number / 1e9),
    }
}

/// `serde (lib)`, `app (test greets)`: how a unit is called, from the names of its fingerprints.
pub fn unit<'a>(package: &str, targets: impl Iterator<Item = &'a str>) -> String {
    let targets: Vec<String> = targets.map(|target| target_name(package, target)).collect();
    format!("{package} ({})", targets.join(", "))
}

fn target_name(package: &str, target: &str) -> String {
    let kinds = [
        ("run-build-script-", "build script's run"),
        ("build-script-", "build script"),
        ("test-integration-test-", "test"),
        ("test-lib-", "unit tests"),
        ("test-bin-", "unit tests of bin"),
        ("test-example-", "tests of example"),
        ("test-bench-", "tests of bench"),
        ("bench-bench-", "bench"),
        ("lib-", "lib"),
        ("bin-", "bin"),
        ("example-", "example"),
        ("doc-lib-", "docs"),
        ("doc-bin-", "docs of bin"),
    ];
    let found = kinds.iter().find_map(|(start, kind)| Some((*kind, target.strip_prefix(start)?)));
    match found {
        Some((kind, _)) if kind.starts_with("build script") => kind.to_owned(),
        Some((kind, name)) if name.replace('_', "-") == package.replace('_', "-") && kind != "test" => kind.to_owned(),
        Some((kind, name)) => format!("{kind} {name}"),
        None => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!((count(1, "unit"), count(0, "file")), ("1 unit".into(), "0 files".into()));
        assert_eq!((size(999), size(1_500), size(2_500_000_000)), ("999 B".into(), "1.5 kB".into(), "2.50 GB".into()));
        assert_eq!(
            (duration(0.04), duration(89.0), duration(90.0)),
            ("0.0 s".into(), "89.0 s".into(), "1.5 min".into())
        );
        assert_eq!(duration(7_200.0), "2.0 h");
    }

    #[test]
    fn units_have_names_that_can_be_read() {
        let names = [
            ("lib-my_app", "my-app (lib)"),
            ("lib-other", "my-app (lib other)"),
            ("test-integration-test-it", "my-app (test it)"),
            ("test-bin-my-app", "my-app (unit tests of bin)"),
            ("run-build-script-build-script-build", "my-app (build script's run)"),
            ("strange", "my-app (strange)"),
        ];
        for (target, name) in names {
            assert_eq!(unit("my-app", std::iter::once(target)), name);
        }
    }
}
