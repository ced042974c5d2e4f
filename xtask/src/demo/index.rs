//! What is to be known of one file: the work of a job.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::language;

/// Words and how often they occur, the most frequent first.
pub(super) type WordCounts = Vec<(String, u64)>;

/// What was found in a file. That it is binary or cannot be read is a finding, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Findings {
    /// None for what could not be read.
    pub(super) sha256: Option<String>,
    pub(super) bytes: i64,
    pub(super) lines: i64,
    pub(super) words: i64,
    pub(super) language: &'static str,
    pub(super) top_words: WordCounts,
    /// Why it has no words, if it has none for a reason.
    pub(super) problem: Option<String>,
}

/// How much of a file is in memory at once, whatever its size.
const CHUNK: usize = 64 << 10;

/// A NUL among the first bytes makes a file binary, as git has it.
const LOOKED_AT: usize = 8000;

/// Longer ones are data, such as base64. They count as words, but not among the frequent ones.
const LONGEST_WORD: usize = 40;

/// Shorter ones are punctuation in most languages.
const SHORTEST_WORD: usize = 3;

/// A file of nothing but different words must not fill the memory.
const MOST_WORDS: usize = 100_000;

const TOP: usize = 10;

/// Indexes one file. Blocks.
pub(super) fn index(path: &Path) -> Findings {
    let language = language::of(path);
    let found = File::open(path).and_then(read).unwrap_or_else(|error| Findings {
        problem: Some(format!("it cannot be read: {error}")),
        ..Findings::default()
    });
    Findings { language, ..found }
}

fn read(mut source: impl Read) -> io::Result<Findings> {
    let mut hash = Sha256::new();
    let mut counter = Counter::default();
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0_usize;
    let mut is_binary = false;
    loop {
        let read = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => &chunk[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let head = LOOKED_AT.saturating_sub(bytes).min(read.len());
        is_binary |= read[..head].contains(&0);
        bytes += read.len();
        hash.update(read);
        if !is_binary {
            counter.read(read);
        }
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let counter = if is_binary { Counter::default() } else { counter };
    let mut findings = counter.findings();
    findings.sha256 = Some(digest);
    findings.bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    findings.problem = is_binary.then(|| "it is binary".to_owned());
    Ok(findings)
}

/// What each byte is in a word: itself in lower case, or 0 for what separates words. Letters beyond ASCII are taken as
/// they are, whatever the encoding. A table, because this is looked up for every byte of every file.
static LETTERS: [u8; 256] = {
    let mut letters = [0; 256];
    let mut byte = 0_u8;
    loop {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            letters[byte as usize] = byte.to_ascii_lowercase();
        }
        if byte == u8::MAX {
            break letters;
        }
        byte += 1;
    }
};

/// Counts lines and words as the bytes pass by.
#[derive(Debug)]
struct Counter {
    lines: i64,
    words: i64,
    /// The word that is being read, and whether there is one: a long one is not kept.
    word: Vec<u8>,
    in_word: bool,
    /// The last byte; before the first one, as if a line had ended.
    last: u8,
    frequencies: HashMap<Vec<u8>, u64>,
}

impl Default for Counter {
    fn default() -> Self {
        Counter { lines: 0, words: 0, word: Vec::new(), in_word: false, last: b'\n', frequencies: HashMap::new() }
    }
}

impl Counter {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let letter = LETTERS[usize::from(*byte)];
            if letter != 0 {
                self.in_word = true;
                if self.word.len() <= LONGEST_WORD {
                    self.word.push(letter);
                }
                continue;
            }
            if self.in_word {
                self.end_word();
            }
            self.lines += i64::from(*byte == b'\n');
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn end_word(&mut self) {
        self.words += 1;
        self.in_word = false;
        let is_name = !self.word.first().is_some_and(u8::is_ascii_digit);
        if is_name && (SHORTEST_WORD..=LONGEST_WORD).contains(&self.word.len()) {
            if let Some(count) = self.frequencies.get_mut(&self.word) {
                *count += 1;
            } else if self.frequencies.len() < MOST_WORDS {
                self.frequencies.insert(self.word.clone(), 1);
            }
        }
        self.word.clear();
    }

    fn findings(mut self) -> Findings {
        if self.in_word {
            self.end_word();
        }
        let mut words: Vec<(Vec<u8>, u64)> = self.frequencies.into_iter().collect();
        words.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        let text = |(word, count): (Vec<u8>, u64)| (String::from_utf8_lossy(&word).into_owned(), count);
        Findings {
            lines: self.lines + i64::from(self.last != b'\n'),
            words: self.words,
            top_words: words.into_iter().take(TOP).map(text).collect(),
            ..Findings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, path::Path};

    use super::{Findings, LOOKED_AT, index, read};

    fn found(bytes: &[u8]) -> Findings {
        read(bytes).expect("memory can be read")
    }

    fn counts(text: &str) -> (i64, i64) {
        let found = found(text.as_bytes());
        (found.lines, found.words)
    }

    #[test]
    fn the_hash_is_the_one_of_sha256sum() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found(b"abc").sha256.as_deref(), Some(abc));
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(found(b"").sha256.as_deref(), Some(nothing));
    }

    #[test]
    fn lines_and_words_are_counted() {
        assert_eq!(counts(""), (0, 0));
        assert_eq!(counts("one two\nthree"), (2, 3), "the last line needs no end");
        assert_eq!(counts("one two\nthree\n"), (2, 3));
        assert_eq!(counts("\n\n"), (2, 0));
        assert_eq!(counts("a.b-c d_e"), (1, 4));
        assert_eq!(counts("}"), (1, 0));
        assert_eq!(counts("a\n}"), (2, 1));
    }

    #[test]
    fn frequent_words_come_first_without_regard_to_case() {
        let found = found("The job: the JOB, the end; 2024 is at 2024".as_bytes());
        let top: Vec<(&str, u64)> = found.top_words.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        assert_eq!(top, [("the", 3), ("job", 2), ("end", 1)]);
    }

    #[test]
    fn a_word_across_two_reads_is_one_word() {
        let split = b"hello wor".chain(&b"ld"[..]);
        let found = read(split).expect("memory can be read");
        assert_eq!(found, read(&b"hello world"[..]).expect("memory can be read"));
        assert_eq!(found.words, 2);
    }

    #[test]
    fn a_nul_near_the_beginning_makes_a_file_binary() {
        let binary = found(b"\x7fELF\0\0\0words\n");
        assert_eq!((binary.lines, binary.words, binary.bytes), (0, 0, 13));
        assert_eq!(binary.problem.as_deref(), Some("it is binary"));
        assert!(binary.sha256.is_some() && binary.top_words.is_empty());

        let late = [vec![b'a'; LOOKED_AT], vec![0]].concat();
        assert_eq!(found(&late).problem, None);
    }

    #[test]
    fn words_that_are_not_utf_8_are_text_all_the_same() {
        let latin_1 = found(b"na\xefve\n");
        assert_eq!(latin_1.problem, None);
        assert_eq!(latin_1.top_words, [("na\u{fffd}ve".to_owned(), 1)]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_finding() {
        let missing = index(Path::new("/no such folder/file.rs"));
        assert_eq!((missing.language, missing.sha256), ("Rust", None));
        assert!(missing.problem.is_some_and(|problem| problem.starts_with("it cannot be read: ")));
    }
}
