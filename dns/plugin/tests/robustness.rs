//! Zone files of mutated and random octets; also everything that the fuzzer starts from and found.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and says with which seed; it reads its data"
)]

#[path = "support/zone_file.rs"]
#[expect(clippy::expect_used, reason = "a test that cannot go on fails")]
mod zone_file;

use std::fs;
use std::path::Path;

/// What zone files are made of.
const PIECES: &[&[u8]] = &[
    b"$ORIGIN ",
    b"$TTL ",
    b"$INCLUDE db\n",
    b"$INCLUDE more\n",
    b"@",
    b" A ",
    b" NS ",
    b" CNAME ",
    b" DNAME ",
    b"\n",
    b"(",
    b")",
    b"\"",
    b"\\",
    b"\\255",
    b";",
    b" ",
    b"*.",
    b"..",
    b"SOA",
    b"x",
    b"\0",
    b"\xff",
    b"4294967296",
    b" TYPE1 \\# 4 01020304\n",
    b" HTTPS 1 . port=1\n",
    b"example.",
];

/// Files of the fuzzer below one folder, by name.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn seeds_and_findings_of_the_fuzzer_hold() {
    let seeds = files("seeds/zone_file");
    assert!(seeds.len() > 3, "{} seeds", seeds.len());
    for (name, text) in seeds.into_iter().chain(files("regressions/zone_file")) {
        println!("{name}");
        zone_file::check(&text);
    }
}

#[test]
fn mutated_zone_files_hold() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let seeds = files("seeds/zone_file");
    for round in 0..3000 {
        let mut text = seeds[round % seeds.len()].1.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(0..=text.len());
            match random.u8(0..4) {
                0 if at < text.len() => text[at] = random.u8(..),
                1 => text.truncate(at),
                2 => {
                    let end = random.usize(at..=text.len());
                    text.drain(at..end.min(at + 40));
                }
                _ => {
                    let piece = PIECES[random.usize(..PIECES.len())];
                    text.splice(at..at, piece.iter().copied());
                }
            }
        }
        zone_file::check(&text);
    }
}
