//! The structure that `docs/ARCHITECTURE.md` describes, checked in the sources: which crate depends
//! on which, which part of `tensor` and of `nn` imports which, and which crates forbid unsafe code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without comments and unit tests, which come last.
fn code(path: &Path) -> String {
    let text = read(path);
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The workspace's crates on which a crate depends, tests aside.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = match name {
        "adamant" => crates().join("../Cargo.toml"),
        _ => crates().join(name).join("Cargo.toml"),
    };
    let manifest = read(&manifest);
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.strip_prefix("adamant-"));
    let mut names: Vec<String> = names
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect())
        .collect();
    names.sort();
    names
}

#[test]
fn crates_depend_on_lower_crates() {
    let expected: BTreeMap<&str, &[&str]> = [
        ("kernels", &[][..]),
        ("files", &[]),
        ("tensor", &["kernels"]),
        ("derive", &[]),
        ("nn", &["derive", "tensor"]),
        ("transport", &[]),
        ("optim", &["kernels", "tensor", "transport"]),
        ("data", &["files", "kernels", "tensor"]),
        ("checkpoint", &["files", "tensor"]),
        ("parallel", &["data", "kernels", "nn", "optim", "tensor", "transport"]),
        ("train", &["checkpoint", "data", "derive", "files", "nn", "optim", "tensor", "transport"]),
        ("cli", &["checkpoint", "files", "tensor", "train"]),
        ("mpi", &["transport"]),
        ("text", &["checkpoint", "files", "tensor"]),
        ("models", &["checkpoint", "files", "nn", "tensor"]),
        (
            "adamant",
            &["checkpoint", "data", "derive", "mpi", "nn", "optim", "parallel", "tensor", "train"],
        ),
    ]
    .into();
    let mut found: Vec<String> = fs::read_dir(crates())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, {
        let mut names: Vec<_> = expected.keys().copied().collect();
        names.sort_unstable();
        names
    });
    for (name, expected) in expected {
        assert_eq!(dependencies(name), expected, "the dependencies of `{name}`");
    }
}

/// The part that each part of a crate and each name exported from one belongs to, by rank.
fn ranks(src: &Path, parts: &[&str]) -> BTreeMap<String, usize> {
    let rank = |name: &str| parts.iter().position(|part| *part == name);
    let mut ranks = BTreeMap::new();
    // What `lib.rs` re-exports from each part may be imported from the crate's root.
    let lib = code(&src.join("lib.rs"));
    for export in lib.split("pub use ").skip(1) {
        let export = export.split(';').next().unwrap();
        let Some(part) = rank(export.split("::").next().unwrap()) else { continue };
        let names = export.rsplit("::").next().unwrap();
        for name in
            names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|n| !n.is_empty())
        {
            ranks.insert(name.to_string(), part);
        }
    }
    ranks.extend(parts.iter().enumerate().map(|(rank, part)| (part.to_string(), rank)));
    ranks
}

/// Asserts that imports of a crate run one way: each part, a folder or a file, names itself and
/// those before it.
fn assert_imports_run_one_way(src: &Path, parts: &[&str]) {
    let ranks = ranks(src, parts);
    for (own, part) in parts.iter().enumerate() {
        let folder = src.join(part);
        let files =
            if folder.is_dir() { sources(&folder) } else { vec![folder.with_extension("rs")] };
        for path in files {
            for import in code(&path).split("crate::").skip(1) {
                let import = import.split(';').next().unwrap();
                let first = import.split(|c: char| !c.is_alphanumeric() && c != '_');
                let names: Vec<&str> = match import.strip_prefix('{') {
                    Some(list) => {
                        list.split('}').next().unwrap().split(',').map(str::trim).collect()
                    }
                    None => first.take(1).collect(),
                };
                for name in names {
                    let name = name.split("::").next().unwrap();
                    assert!(
                        ranks.get(name).is_none_or(|&part| part <= own),
                        "{}: imports `{name}` of a higher part",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn tensor_parts_import_lower_parts() {
    let src = crates().join("tensor/src");
    let parts = ["arrays", "tape", "state", "ops", "tools"];
    let ranks = ranks(&src, &parts);
    assert!(ranks["Tensor"] == 1 && ranks["grad"] == 4);
    assert_imports_run_one_way(&src, &parts);
}

#[test]
fn nn_parts_import_lower_parts() {
    let src = crates().join("nn/src");
    let parts = ["tree", "check", "init", "layers", "lora", "losses", "summary"];
    let ranks = ranks(&src, &parts);
    assert!(ranks["Module"] == 0 && ranks["Linear"] == 3);
    assert_imports_run_one_way(&src, &parts);
}

#[test]
fn only_kernels_may_use_unsafe() {
    for entry in fs::read_dir(crates()).unwrap() {
        let folder = entry.unwrap().path();
        let root = ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file));
        let root = root.iter().find(|file| file.exists()).unwrap();
        let forbids = read(root).contains("#![forbid(unsafe_code)]");
        let is_kernels = folder.file_name().is_some_and(|name| name == "kernels");
        assert!(forbids != is_kernels, "{}", folder.display());
    }
}
