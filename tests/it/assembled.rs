//! Files that a crate hands to the assembler, which tells nobody what it reads.

use crate::support::{Project, World};

const USERS: [&str; 2] = ["app 0.1.0 bin app", "app 0.1.0 bin app test"];

/// A program that prints what lies in `src/t.bin`, by this assembly.
fn ready(assembly: &str, more: &[(&str, &str)]) -> World {
    let world = World::in_memory("", |_| {
        let mut files = Project::new();
        files
            .insert("Cargo.toml".into(), "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n".into());
        files.insert(".gitignore".into(), "/target\n".into());
        files.insert("README.md".into(), "1".into());
        files.insert("src/t.bin".into(), "one".into());
        let program = format!(
            "std::arch::global_asm!({assembly});\nextern \"C\" {{ static blob: [u8; 3]; }}\nfn main() {{ println!(\"{{}}\", unsafe {{ \
             std::str::from_utf8(&*std::ptr::addr_of!(blob)).unwrap() }}); }}\n"
        );
        files.insert("src/main.rs".into(), program);
        files.extend(more.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        files
    });
    world.first_run();
    world
}

#[test]
fn a_file_that_the_assembler_read_is_an_input_and_one_that_nobody_read_is_none() {
    let text = r#"".section .rodata\n.globl blob\nblob: .incbin \"src/t.bin\"\n.text\n""#;
    let mut world = ready(text, &[]);
    for round in ["2", "3"] {
        world.change(&[("README.md", round)]);
        world.prove(&[]);
        world.warm_run();
        world.save_with(&["--save", "always"]);
    }
    world.change(&[("src/t.bin", "two")]);
    let log = world.prove(&USERS);
    assert!(log.contains("it hands files to the assembler, and `"), "{log}");
    assert!(log.contains("src/t.bin`, which was read in the job that compiled it, changed"), "{log}");
}

#[test]
fn the_directive_may_stand_in_a_text_that_is_included() {
    let boot = ".section .rodata\n.globl blob\nblob: .incbin \"src/t.bin\"\n.text\n";
    let mut world = ready("include_str!(\"boot.s\")", &[("src/boot.s", boot)]);
    world.change(&[("src/t.bin", "two")]);
    world.prove(&USERS);
}
