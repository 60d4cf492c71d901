//! Comparisons of absolute paths that are kept as text, on systems with either separator.

/// Whether `path` lies below `dir`, by whole components; a folder does not lie below itself.
pub fn is_under(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| dir.ends_with(['/', '\\']) || rest.starts_with(['/', '\\']))
}

pub fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The folder that holds `path`; nothing above a root.
pub fn parent(path: &str) -> Option<&str> {
    let cut = path.rfind(['/', '\\'])?;
    if cut == 0 { None } else { path.get(..cut) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_the_same_beginning_is_not_above() {
        assert!(is_under("/a/b/c", "/a/b"));
        assert!(!is_under("/a/bc", "/a/b"));
        assert!(!is_under("/a/b", "/a/b"));
        assert!(is_under(r"C:\w\src", r"C:\w"));
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), None);
    }
}
