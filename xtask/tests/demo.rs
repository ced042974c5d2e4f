//! The demo from end to end: real processes, a real SIGKILL, and what the user is told.

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, Output},
};

use pg_queue_embedded::shared;

use self::support::program;

/// A folder of this test's own, deleted at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = env::temp_dir().join(format!("pgq-demo-{name}-{}", process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder can be made");
        Folder(folder)
    }

    fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("a folder can be made in it");
        fs::write(&path, bytes).expect("a file can be written in it");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn demo(folder: &Path) -> Output {
    let mut command = Command::new(program());
    command.arg("demo").arg(folder).arg("--json").env("DATABASE_URL", shared().admin_url());
    command.output().expect("xtask was built for this test, or copied beside it")
}

#[test]
fn every_file_is_indexed_exactly_once_although_a_worker_is_killed() {
    let folder = Folder::new("tree");
    for number in 0..296 {
        folder.write(format!("part{}/sub/file{number}.rs", number % 7), format!("fn f{number}() {{}}\n").repeat(20));
    }
    folder.write("empty.txt", "");
    folder.write("binary.bin", b"\x7fELF\0\0\0");
    // Root reads it all the same, and so does everybody where there are no such permissions.
    let unreadable = folder.write("unreadable.txt", "secret");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).expect("the file is ours");
    }
    let is_unreadable = usize::from(fs::read(&unreadable).is_err());
    // Other file systems want text.
    #[cfg(target_os = "linux")]
    folder.write(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xe9.txt"), "coffee");
    #[cfg(not(target_os = "linux"))]
    folder.write("coffee.txt", "coffee");

    let output = demo(&folder.0);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}{stdout}");
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(stdout.lines().last().expect("it says something")).expect("the last line is JSON");
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let mut promised = [
        "files",
        "jobs",
        "completed",
        "failed",
        "lost",
        "double_effects",
        "rescued",
        "elapsed_s",
        "jobs_per_s",
        "pickup_p50_ms",
        "pickup_p99_ms",
    ];
    promised.sort_unstable();
    assert_eq!(keys, promised);
    let number = |key: &str| object[key].as_f64().unwrap_or_else(|| panic!("{key} is a number: {stdout}"));
    for (key, value) in [
        ("files", 300.0),
        ("jobs", 300.0),
        ("completed", 300.0),
        ("failed", 0.0),
        ("lost", 0.0),
        ("double_effects", 0.0),
    ] {
        assert_eq!(number(key), value, "{key}: {stdout}");
    }
    assert!(number("rescued") >= 4.0, "{stdout}");
    for key in ["elapsed_s", "jobs_per_s", "pickup_p50_ms", "pickup_p99_ms"] {
        assert!(number(key) > 0.0, "{key}: {stdout}");
    }
    let results = format!("1 binary, {is_unreadable} unreadable");
    for said in [results.as_str(), "killed with SIGKILL", "no file of this name is indexed", "part0/sub: 43 files"] {
        assert!(stderr.contains(said), "{said:?} is not in\n{stderr}");
    }
}

#[test]
fn one_file_is_enough_to_show_a_rescue() {
    let folder = Folder::new("one");
    folder.write("only.md", "# One\n");
    let output = demo(&folder.0);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}{stdout}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("\"completed\":1,\"failed\":0,\"lost\":0,\"double_effects\":0,\"rescued\":1,"), "{stdout}");
}

#[test]
fn what_cannot_be_indexed_is_refused_at_once() {
    let folder = Folder::new("refused");
    for (path, reason) in [(folder.0.clone(), "no files to index"), (folder.0.join("missing"), "cannot be indexed")] {
        let output = demo(&path);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(reason) && stderr.contains("pgq-demo-refused"), "{stderr}");
    }
    let file = folder.write("file", "");
    let output = demo(&file);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("is not a folder"), "{stderr}");
}
