//! The house: who imports whom. Nothing here is a list of names; what a file says of itself and what it imports decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// A stranger counts no further.
const FLOORS: usize = 9;
/// A file with more lines has a second subject.
const ROOM: usize = 420;

struct Room {
    /// `explain/advice/stored`; a folder's own file is called as the folder is.
    name: String,
    text: String,
    imports: BTreeSet<String>,
    /// Whatever else it names: `std::fs::read`.
    outside: BTreeSet<String>,
}

impl Room {
    fn wing(&self) -> &str {
        self.name.split('/').next().unwrap()
    }

    fn is_pure(&self) -> bool {
        self.text.lines().take_while(|line| line.starts_with("//!")).any(|line| {
            line.split(". ")
                .any(|sentence| sentence.trim_start_matches(['/', '!', ' ']).trim_end_matches('.') == "Pure")
        })
    }
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

fn rooms() -> Vec<Room> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    paths.sort();
    let name = |path: &Path| {
        let name = path.strip_prefix(&root).unwrap().with_extension("");
        let name = name.to_str().unwrap().replace('\\', "/");
        name.strip_suffix("/mod").map(str::to_owned).unwrap_or(name)
    };
    let names: BTreeSet<String> = paths.iter().map(|path| name(path)).collect();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let mut found = Paths::default();
        found.visit_file(&syn::parse_file(&text).unwrap());
        let own = name(path);
        let mut read = Room { name: own.clone(), text, imports: BTreeSet::new(), outside: BTreeSet::new() };
        for path in found.paths {
            match inside(&own, &path) {
                Some(parts) => {
                    let whole = (1..=parts.len()).rev().map(|len| parts[..len].join("/"));
                    read.imports
                        .extend(whole.into_iter().find(|name| names.contains(name)).filter(|name| *name != own));
                }
                None => {
                    read.outside.insert(path.join("::"));
                }
            }
        }
        read
    };
    paths.iter().map(read).collect()
}

/// A path inside this crate, from its top.
fn inside(own: &str, path: &[String]) -> Option<Vec<String>> {
    let own: Vec<String> = own.split('/').map(str::to_owned).collect();
    let up = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" | "rekindle" => Some(path[1..].to_vec()),
        "self" => Some(own.into_iter().chain(path[1..].iter().cloned()).collect()),
        "super" => Some(own[..own.len().checked_sub(up)?].iter().chain(&path[up..]).cloned().collect()),
        _ => None,
    }
}

/// Every path that code names, tests left out.
#[derive(Default)]
struct Paths {
    paths: BTreeSet<Vec<String>>,
    /// Modules inside the file that stand around what is looked at.
    depth: usize,
}

impl Paths {
    fn add(&mut self, mut path: Vec<String>) {
        let up = path.iter().take_while(|part| *part == "super").count();
        let is_own = self.depth > 0 && (path[0] == "self" || up > 0 && up <= self.depth);
        if !is_own && path.len() > 1 {
            path.drain(..up.min(self.depth));
            self.paths.insert(path);
        }
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.add(before.to_vec());
            }
            syn::UseTree::Name(name) => {
                self.add(with(&name.ident));
            }
            syn::UseTree::Rename(name) => {
                self.add(with(&name.ident));
            }
            syn::UseTree::Glob(_) => {
                self.add(before.to_vec());
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }

    /// Paths in the arguments of a macro, which nobody has parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if path.is_empty() || colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
            if !path.is_empty() {
                self.add(std::mem::take(&mut path));
            }
            colons = 0;
        }
        if !path.is_empty() {
            self.add(path);
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
        });
        if !is_test {
            self.depth += 1;
            syn::visit::visit_item_mod(self, item);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // What a folder's own file hands on of what lies in it is no import.
        let hands_on = !matches!(item.vis, syn::Visibility::Inherited);
        if !hands_on {
            self.tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

type Graph = BTreeMap<String, BTreeSet<String>>;

fn of_files(rooms: &[Room]) -> Graph {
    rooms.iter().map(|room| (room.name.clone(), room.imports.clone())).collect()
}

fn of_wings(rooms: &[Room]) -> Graph {
    let wings: BTreeMap<&str, &str> = rooms.iter().map(|room| (room.name.as_str(), room.wing())).collect();
    let mut graph = Graph::new();
    for room in rooms {
        let others = room.imports.iter().map(|name| wings[name.as_str()]).filter(|wing| *wing != room.wing());
        graph.entry(room.wing().to_owned()).or_default().extend(others.map(str::to_owned));
    }
    graph
}

/// The floor of each, the ground floor being 1; or the names in a circle.
fn floors(graph: &Graph) -> Result<BTreeMap<String, usize>, Vec<String>> {
    let mut floors = BTreeMap::new();
    while floors.len() < graph.len() {
        let known = |name: &String| floors.get(name).copied();
        let next: Vec<(String, usize)> = graph
            .iter()
            .filter(|(name, _)| !floors.contains_key(*name))
            .filter_map(|(name, below)| {
                let below: Option<Vec<usize>> = below.iter().map(known).collect();
                Some((name.clone(), 1 + below?.into_iter().max().unwrap_or_default()))
            })
            .collect();
        if next.is_empty() {
            return Err(graph.keys().filter(|name| !floors.contains_key(*name)).cloned().collect());
        }
        floors.extend(next);
    }
    Ok(floors)
}

#[test]
fn imports_make_no_circle() {
    let rooms = rooms();
    for graph in [of_files(&rooms), of_wings(&rooms)] {
        assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 50, "the imports were not found");
        floors(&graph).expect("these import each other, or what does");
    }
}

#[test]
fn the_house_has_nine_floors() {
    let floors = floors(&of_wings(&rooms())).unwrap();
    // What starts the program stands on top of the house.
    let of_house = floors.iter().filter(|(name, _)| !["main", "cli"].contains(&name.as_str()));
    let highest = of_house.max_by_key(|(_, floor)| **floor).unwrap();
    assert!(*highest.1 <= FLOORS, "{highest:?}: {floors:?}");
}

#[test]
fn only_the_top_knows_the_commands_and_the_words() {
    for room in rooms() {
        let at_top = ["main", "cli", "lib"].contains(&room.wing());
        for import in &room.imports {
            let wing = import.split('/').next().unwrap();
            assert!(at_top || wing != "cli", "{} imports {import}", room.name);
            assert!(at_top || wing != "report" || room.wing() == "report", "{} speaks: {import}", room.name);
            assert!(at_top || wing != "phase" || room.wing() == "phase", "{} looks up: {import}", room.name);
            if let (Some(own), Some(other)) = (room.name.strip_prefix("phase/"), import.strip_prefix("phase/")) {
                let command = |name: &str| name.split('/').next().unwrap().to_owned();
                assert_eq!(command(own), command(other), "{} imports another command", room.name);
            }
        }
    }
}

#[test]
fn what_says_that_it_is_pure_is() {
    let rooms = rooms();
    let pure: BTreeSet<&str> = rooms.iter().filter(|room| room.is_pure()).map(|room| room.name.as_str()).collect();
    assert!(pure.len() > 20, "{pure:?}");
    let effects =
        ["std::fs", "std::process", "std::env", "std::net", "std::io", "std::thread", "fs_err", "tokio", "reqwest"];
    for room in rooms.iter().filter(|room| room.is_pure()) {
        let is_effect = |path: &&String| {
            effects
                .iter()
                .any(|effect| path.strip_prefix(effect).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
        };
        let done: Vec<&String> = room.outside.iter().filter(is_effect).collect();
        assert!(done.is_empty(), "{} says that it is pure and uses {done:?}", room.name);
        let impure: Vec<&String> = room.imports.iter().filter(|name| !pure.contains(name.as_str())).collect();
        assert!(impure.is_empty(), "{} says that it is pure and imports {impure:?}", room.name);
    }
}

#[test]
fn every_file_says_what_it_is_for_and_is_small() {
    for room in rooms() {
        assert!(room.text.starts_with("//! "), "{} does not open with a doc line", room.name);
        let lines = room.text.split("#[cfg(test)]").next().unwrap().lines().count();
        assert!(lines <= ROOM, "{} has {lines} lines: what is its second subject?", room.name);
    }
}

#[test]
fn the_map_names_every_wing() {
    let rooms = rooms();
    let map = &rooms.iter().find(|room| room.name == "lib").unwrap().text;
    let wings: BTreeSet<&str> = rooms.iter().map(Room::wing).filter(|wing| !["main", "lib"].contains(wing)).collect();
    for wing in wings {
        let is_named = [format!("[`{wing}`]"), format!("[`mod@{wing}`]")].iter().any(|link| map.contains(link));
        assert!(is_named, "the map does not name {wing}");
    }
}

#[test]
fn nothing_unfinished_is_left() {
    for room in rooms() {
        for mark in ["FIXME", "XXX", "TODO", "unimplemented!(", "todo!("] {
            assert!(!room.text.contains(mark), "{} holds {mark}", room.name);
        }
    }
}

#[test]
fn a_circle_is_found() {
    let graph = |edges: &[(&str, &[&str])]| -> Graph {
        edges.iter().map(|(name, of)| ((*name).to_owned(), of.iter().map(|one| (*one).to_owned()).collect())).collect()
    };
    assert_eq!(floors(&graph(&[("a", &["b"]), ("b", &[])])).unwrap()["a"], 2);
    assert_eq!(
        floors(&graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[])])).unwrap_err(),
        ["a", "b", "c"]
    );
}
