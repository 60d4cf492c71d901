//! Numbers as people read them. Pure.

/// `1 unit`, `2 units`.
pub fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// Seconds for people.
pub fn duration(seconds: f64) -> String {
    // A sum of nothing is a zero with a sign.
    let seconds = if seconds.abs() < 0.05 { 0.0 } else { seconds };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!((count(1, "unit"), count(0, "file")), ("1 unit".into(), "0 files".into()));
        assert_eq!((size(999), size(1_500), size(2_500_000_000)), ("999 B".into(), "1.5 kB".into(), "2.50 GB".into()));
        assert_eq!(
            (duration(0.04), duration(-0.0), duration(89.0), duration(90.0)),
            ("0.0 s".into(), "0.0 s".into(), "89.0 s".into(), "1.5 min".into())
        );
        assert_eq!(duration(7_200.0), "2.0 h");
    }
}
