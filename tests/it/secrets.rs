//! Secrets, wherever a job can have them and in whatever form a build writes them down: in no byte that leaves it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rekindle::pack::Pack;
use rekindle::store::DirStore;

use crate::support::{Project, World};

fn package(name: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
}

/// `app` uses `holds`, which has this build script and this library, and `plain`, which has nothing to hide.
fn world(script: &str, lib: &str) -> World {
    World::new("work", |_| {
        let app = format!(
            "{}[dependencies]\nholds = {{ path = \"holds\" }}\nplain = {{ path = \"plain\" }}\n[workspace]\n",
            package("app")
        );
        let files = [
            ("Cargo.toml", app.as_str()),
            ("src/main.rs", "fn main() { println!(\"{} {}\", holds::text(), plain::text()); }\n"),
            ("holds/Cargo.toml", &package("holds")),
            ("holds/build.rs", script),
            ("holds/src/lib.rs", lib),
            ("plain/Cargo.toml", &package("plain")),
            ("plain/src/lib.rs", "pub fn text() -> &'static str { \"plain\" }\n"),
            (".gitignore", "/target\n"),
        ];
        files.map(|(path, text)| (format!("work/{path}"), text.to_owned())).into_iter().collect::<Project>()
    })
}

const NOTHING: &str = "pub fn text() -> &'static str { \"holds\" }\n";

/// Every byte that a job leaves to others, by where it is.
fn leavings(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let store = DirStore::new(world.store());
    for path in fs::read_dir(world.store()).unwrap().map(|entry| entry.unwrap().path()) {
        let key = path.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap().to_owned();
        let index = serde_json::to_vec(&Pack::open(&store, &key).unwrap().index).unwrap();
        found.push((path.with_extension("index"), index));
        found.push((path.with_extension("tar"), Command::new("zstd").arg("-dc").arg(&path).output().unwrap().stdout));
        found.push((PathBuf::from("key"), key.into_bytes()));
    }
    let own = ["state.json", "state.report.json"].map(|name| world.dir.join(name));
    for path in own.into_iter().chain([world.target().join(".rekindle/manifest.json")]) {
        let bytes = fs::read(&path).unwrap();
        found.push((path, bytes));
    }
    found
}

fn hold_none(world: &World, secrets: &[&str], logs: &[&str]) {
    let logs = logs.iter().map(|log| (PathBuf::from("log"), log.as_bytes().to_vec()));
    let key = world.rekindle(&["key"]);
    let printed = [key.stdout, key.stderr].map(|bytes| (PathBuf::from("rekindle key"), bytes));
    for (path, bytes) in leavings(world).into_iter().chain(logs).chain(printed) {
        for secret in secrets {
            let at = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
            let around =
                at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())]));
            assert!(at.is_none(), "{}: {secret} in {around:?}", path.display());
        }
    }
}

/// A job whose build step has variables that restore and save do not have.
fn job(world: &mut World, step: &[(&str, &str)]) -> (Vec<String>, String) {
    world.wipe_and_clone();
    let mut log = world.restore();
    let before = world.env.clone();
    world.env.extend(step.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let compiled = world.build().compiled.into_iter().collect();
    world.env = before;
    log += &world.save();
    (compiled, log)
}

const TOKEN: &str = "hunter2-T0ken/with+odd=\"chars\"";

#[test]
fn a_secret_of_the_build_step_alone_is_known_by_its_name_on_disk() {
    let script = "fn main() {\n println!(\"cargo:rerun-if-env-changed=DEPLOY_TOKEN\");\n \
                  let token = std::env::var(\"DEPLOY_TOKEN\").unwrap();\n \
                  std::fs::write(format!(\"{}/x.rs\", std::env::var(\"OUT_DIR\").unwrap()), format!(\"{token:?}\")).unwrap();\n}\n";
    let lib = "pub fn text() -> &'static str { include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\")) }\n";
    let mut world = world(script, lib);
    let escaped = TOKEN.replace('"', "\\\"");
    for run in 0..3 {
        let (compiled, log) = job(&mut world, &[("DEPLOY_TOKEN", TOKEN)]);
        assert!(
            run == 0 || !compiled.is_empty() && !compiled.iter().any(|unit| unit.starts_with("plain")),
            "{compiled:?}"
        );
        assert!(log.contains("holds (build script's run)") && log.contains("holds a secret"), "{log}");
        hold_none(&world, &[TOKEN, &escaped, "hunter2-T0ken"], &[&log]);
    }
}

#[test]
fn a_secret_that_the_compiler_reads_is_one_however_short_it_is() {
    let mut world = world(
        "fn main() {}\n",
        "pub fn text() -> usize { env!(\"DB_PASSWORD\").len() + option_env!(\"DEPLOY_TOKEN\").map_or(0, str::len) }\n",
    );
    for run in 0..2 {
        let (compiled, log) = job(&mut world, &[("DB_PASSWORD", "ti9er"), ("DEPLOY_TOKEN", TOKEN)]);
        assert!(
            run == 0 || compiled == ["app 0.1.0 bin app", "holds 0.1.0 lib holds"] || compiled.len() == 4,
            "{compiled:?}"
        );
        assert!(log.contains("holds (lib)") || log.contains("holds"), "{log}");
        hold_none(&world, &["ti9er", "hunter2-T0ken"], &[&log]);
    }
}

#[test]
fn a_variable_that_a_script_sets_under_the_name_of_a_secret_is_one() {
    let script = "fn main() {\n println!(\"cargo:rerun-if-changed=build.rs\");\n println!(\"cargo::rustc-env=API_KEY=from-a-d0t-env-file\");\n}\n";
    let mut world = world(script, "pub fn text() -> usize { env!(\"API_KEY\").len() }\n");
    let (_, log) = job(&mut world, &[]);
    assert!(log.contains("holds a secret"), "{log}");
    hold_none(&world, &["from-a-d0t-env-file"], &[&log]);
}

#[test]
fn a_secret_is_found_in_every_form_that_a_script_may_give_it() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQDVxF1Zzzq9aaaa\n-----END PRIVATE KEY-----\n";
    let forms = [
        format!("{TOKEN:?}"),
        STANDARD.encode(format!("user:{TOKEN}")),
        format!("{:?}", TOKEN.as_bytes()),
        "BKcwggSjAgEAAoIBAQDVxF1Zzzq9aaaa".to_owned(),
    ];
    let script = "fn main() {\n println!(\"cargo:rerun-if-changed=build.rs\");\n \
                  let out = std::env::var(\"OUT_DIR\").unwrap();\n \
                  std::fs::write(out + \"/x\", std::env::var(\"TEXT\").unwrap()).unwrap();\n}\n";
    let mut world = world(script, NOTHING);
    world.env.insert("DEPLOY_TOKEN".into(), TOKEN.into());
    world.env.insert("APP_PRIVATE_KEY".into(), pem.into());
    for form in &forms {
        let _ = fs::remove_dir_all(world.store());
        let (_, log) = job(&mut world, &[("TEXT", form)]);
        assert!(log.contains("holds (build script's run)") && log.contains("holds a secret"), "{form}: {log}");
        hold_none(&world, &[form], &[&log]);
    }
}

#[test]
fn a_password_in_a_url_is_a_secret_and_a_change_of_it_is_seen_and_not_shown() {
    let script = "fn main() { println!(\"cargo:rerun-if-env-changed=DATABASE_URL\"); }\n";
    let lib = "pub fn text() -> usize { option_env!(\"INDEX\").map_or(0, str::len) }\n";
    let mut world = world(script, lib);
    let mut logs = Vec::new();
    let mut compiled = Vec::new();
    let (one, two) = ("postgres://user:p4ss-0ne@host/db", "postgres://user:p4ss-two@host/db");
    // With the password for the build alone, then for every step.
    for (url, index, everywhere) in [
        (one, "https://host/a", false),
        (two, "https://host/a", true),
        (two, "https://host/a", false),
        (two, "https://me:abc@host/b", false),
    ] {
        world.env.remove("DATABASE_URL");
        if everywhere {
            world.env.insert("DATABASE_URL".into(), url.into());
        }
        let (units, log) = job(&mut world, &[("DATABASE_URL", url), ("INDEX", index)]);
        compiled.push(units.len());
        logs.push(log);
        let texts: Vec<&str> = logs.iter().map(String::as_str).collect();
        hold_none(&world, &["p4ss-0ne", "p4ss-two", "me:abc@"], &texts);
    }
    assert!(compiled[0] > 0 && compiled[1] > 0 && compiled[2] == 0 && compiled[3] > 0, "{compiled:?}");
}

#[test]
fn a_secret_in_flags_is_in_no_key_state_or_report_and_still_counts() {
    let mut world = world("fn main() {}\n", NOTHING);
    let key = |world: &World| String::from_utf8(world.rekindle(&["key"]).stdout).unwrap();
    let mut keys = Vec::new();
    for (name, token, flags) in [
        ("RUSTFLAGS", "s3cr3t-flag-1", "--cfg key=\"s3cr3t-flag-1\""),
        ("RUSTFLAGS", "s3cr3t-flag-2", "--cfg key=\"s3cr3t-flag-2\""),
        ("CARGO_BUILD_RUSTFLAGS", "unrelated-0", "--cfg api_token=\"s3cr3t-flag-3\""),
        ("CARGO_ENCODED_RUSTFLAGS", "unrelated-0", "--cfg\u{1f}api_token=\"s3cr3t-flag-4\""),
    ] {
        let _ = fs::remove_dir_all(world.store());
        world.env.retain(|name, _| !name.ends_with("RUSTFLAGS"));
        world.env.insert("DEPLOY_TOKEN".into(), token.into());
        world.env.insert(name.into(), flags.into());
        world.env.insert("RUSTDOCFLAGS".into(), flags.replace('\u{1f}', " "));
        let (_, first) = job(&mut world, &[]);
        let (compiled, second) = job(&mut world, &[]);
        assert!(compiled.is_empty(), "{compiled:?}");
        hold_none(&world, &["s3cr3t-flag"], &[&first, &second]);
        let explained = world.rekindle(&["explain", "--json"]);
        assert!(!String::from_utf8_lossy(&explained.stdout).contains("s3cr3t-flag"));
        let text = key(&world);
        assert!(text.contains("***"), "{text}");
        keys.push(text.lines().next().unwrap().to_owned());
    }
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_file_that_is_left_out_takes_the_run_along_that_made_it() {
    let script = "fn main() {\n println!(\"cargo:rerun-if-changed=build.rs\");\n \
                  let out = std::path::PathBuf::from(std::env::var_os(\"OUT_DIR\").unwrap());\n \
                  let profile = out.ancestors().nth(3).unwrap();\n \
                  std::fs::write(profile.join(\"settings.json\"), std::env::var(\"DEPLOY_TOKEN\").unwrap()).unwrap();\n}\n";
    let mut world = world(script, NOTHING);
    world.env.insert("DEPLOY_TOKEN".into(), TOKEN.into());
    for _ in 0..2 {
        let (_, log) = job(&mut world, &[]);
        assert!(log.contains("holds (build script's run)"), "{log}");
        assert_eq!(fs::read_to_string(world.target().join("debug/settings.json")).unwrap(), TOKEN);
        hold_none(&world, &["hunter2-T0ken"], &[&log]);
    }
    // One that no build made is named itself.
    world.wipe_and_clone();
    world.restore();
    world.build();
    std::thread::sleep(std::time::Duration::from_millis(50));
    fs::write(world.target().join("debug/by-hand"), TOKEN).unwrap();
    fs::write(world.workspace().join("src/main.rs"), "fn main() {}\n").unwrap();
    world.build();
    let log = world.save();
    assert!(log.contains("`debug/by-hand`"), "{log}");
    hold_none(&world, &["hunter2-T0ken"], &[&log]);
}

#[test]
fn names_and_links_that_hold_a_secret_count_like_content() {
    let script = "fn main() {\n println!(\"cargo:rerun-if-changed=build.rs\");\n \
                  let out = std::env::var(\"OUT_DIR\").unwrap();\n let token = std::env::var(\"DEPLOY_TOKEN\").unwrap();\n \
                  std::fs::create_dir_all(format!(\"{out}/fingerprint\")).unwrap();\n \
                  match std::env::var(\"HOW\").unwrap().as_str() {\n \
                  \"name\" => std::fs::write(format!(\"{out}/{token}\"), \"\").unwrap(),\n \
                  \"link\" => std::os::unix::fs::symlink(token, format!(\"{out}/link\")).unwrap(),\n \
                  _ => std::fs::write(format!(\"{out}/fingerprint/x.json\"), token).unwrap(),\n }\n}\n";
    let mut world = world(script, NOTHING);
    world.env.insert("DEPLOY_TOKEN".into(), "hunter2-T0ken".into());
    for how in ["name", "link", "json"] {
        let _ = fs::remove_dir_all(world.store());
        let (_, log) = job(&mut world, &[("HOW", how)]);
        assert!(log.contains("holds (build script's run)") && !log.contains("warning"), "{how}: {log}");
        hold_none(&world, &["hunter2-T0ken"], &[&log]);
        let (compiled, _) = job(&mut world, &[("HOW", how)]);
        assert!(compiled.iter().any(|unit| unit.contains("holds build-script run")), "{how}: {compiled:?}");
    }
}

#[test]
fn what_is_written_can_be_read_by_nobody_else() {
    let mut world = world("fn main() {}\n", NOTHING);
    job(&mut world, &[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let own = [
        world.dir.join("state.json"),
        world.dir.join("state.report.json"),
        world.target().join(".rekindle/manifest.json"),
    ];
    for path in own {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    // Packs in a store are for whoever may enter it; one that nobody made before is private.
    for path in [world.store(), world.target().join(".rekindle")] {
        assert_eq!(mode(&path), 0o700, "{}", path.display());
    }
}
