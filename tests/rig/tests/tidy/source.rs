//! The tree for tidy: rules, files, and the tokens of Rust code.

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned as _;

/// The breaches of a file with their lines: from 1; 0 stands for the whole file.
pub(crate) type Breaches = Vec<(usize, String)>;

/// A rule, checked file by file.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) breaches: fn(&Source) -> Breaches,
    /// Path, text, and the number of breaches.
    pub(crate) samples: &'static [(&'static str, &'static str, usize)],
}

impl Rule {
    pub(crate) fn findings(&self, source: &Source) -> Vec<String> {
        let breaches = (self.breaches)(source).into_iter();
        breaches.map(|(line, what)| format!("{}:{line}: {}: {what}", source.path, self.name)).collect()
    }
}

/// One breach of the whole file, if it is broken.
pub(crate) fn breach(is_broken: bool, what: impl Into<String>) -> Breaches {
    if is_broken { vec![(0, what.into())] } else { Vec::new() }
}

/// A file of the tree. For Rust also what the compiler reads: no comments, and strings as single tokens.
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Line and text of each token; brackets and `::` are tokens of their own.
    pub(crate) tokens: Vec<(usize, String)>,
    /// Number of lines before the test module at the end; all lines without one.
    pub(crate) lines_before_tests: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let lines_before_tests = text.lines().count();
        let mut source = Self { path: path.to_owned(), text, tokens: Vec::new(), lines_before_tests };
        if source.is_rust() {
            source.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        source
    }

    fn parse(&mut self) -> syn::Result<()> {
        flatten(self.text.parse()?, &mut self.tokens);
        let is_cfg_test = |a: &syn::Attribute| {
            a.path().is_ident("cfg") && a.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
        };
        for item in syn::parse_file(&self.text)?.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_some()
                && module.attrs.iter().any(is_cfg_test)
            {
                self.lines_before_tests = self.lines_before_tests.min(module.span().start().line - 1);
            }
        }
        Ok(())
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the line is in a test module: in its own file below `src`, or at the file's end.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        let inner = self.path.rsplit_once("/src/").map_or(String::new(), |(_, inner)| format!("/{inner}"));
        inner.ends_with("/tests.rs") || inner.contains("/tests/") || line > self.lines_before_tests
    }

    /// The indices where these tokens follow each other.
    pub(crate) fn places_of(&self, tokens: &[&str]) -> impl Iterator<Item = usize> {
        let all = self.tokens.windows(tokens.len()).enumerate();
        all.filter(move |(_, found)| found.iter().zip(tokens).all(|((_, a), b)| a == b)).map(|(at, _)| at)
    }
}

fn flatten(stream: TokenStream, out: &mut Vec<(usize, String)>) {
    for token in stream {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push((line, open.to_owned()));
                flatten(group.stream(), out);
                out.push((group.span_close().start().line, close.to_owned()));
            }
            TokenTree::Punct(colon) if colon.as_char() == ':' && out.last().is_some_and(|(_, last)| last == ":") => {
                out.last_mut().expect("it has just been read").1.push(':');
            }
            token @ (TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_)) => {
                out.push((line, token.to_string()))
            }
        }
    }
}

/// Every file of the tree that this test belongs to, without build products and history.
pub(crate) fn tree() -> Vec<Source> {
    let mut sources = Vec::new();
    add(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), "", &mut sources);
    sources
}

fn add(folder: &Path, prefix: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("the tree can be read") {
        let entry = entry.expect("the tree can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let (full, path) = (entry.path(), format!("{prefix}{name}"));
        let is_ours = !["target", ".git", "proptest-regressions"].contains(&name.as_str());
        if is_ours && full.is_dir() {
            add(&full, &format!("{path}/"), sources);
        } else if is_ours {
            sources.push(Source::new(&path, fs::read_to_string(&full).unwrap_or_default()));
        }
    }
}
