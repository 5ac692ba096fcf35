//! Writes the man pages, for packages: `cargo run -p thermowell --example man -- FOLDER`.
//!
//! They are made of the same texts as `--help`. Not in the program itself: it would be 60 KB larger for what is needed
//! once.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name the folder for the pages")?;
    fs::create_dir_all(&folder)?;
    let mut root = thermowell::cli::command_line();
    root.build();
    write(&root, &folder)
}

/// Writes the page of a command, and those of its subcommands.
fn write(command: &Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(folder.join(man.get_filename()), page)?;
    let shown = command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help");
    shown.into_iter().try_for_each(|inner| write(inner, folder))
}
