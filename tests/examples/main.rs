//! Every command that README, a program's --help or the head of a script prints does what it says.
//!
//! Names of hosts lead to servers of the test's own, and so do ports and folders of the system; what the commands read
//! is made in [`world`].

#[path = "../common/mod.rs"]
mod common;
mod printed;
mod world;

use std::io::Read as _;
use std::process::ExitStatus;
use std::time::Duration;

use common::eventually;
use printed::Example;
use world::World;

/// Runs what is printed in one place, in order; answers what is wrong.
fn run(world: &World, place: &str, examples: Vec<Example>) -> Vec<String> {
    assert!(!examples.is_empty(), "{place} has no example");
    let wrong = |example: Example| {
        let what = run_one(world, &example.command).err()?;
        Some(format!("{place}: {}\n    {what}", example.command))
    };
    examples.into_iter().filter_map(wrong).collect()
}

fn run_one(world: &World, command: &str) -> Result<(), String> {
    let command = world.adapted(command);
    let before = world.progress();
    let file = command.rsplit_once("> ").map(|(_, name)| world.dir.path(name));
    let began = file.as_ref().and_then(|file| file.metadata().ok()?.modified().ok());
    let (status, output, said) = if is_live(&command) {
        live(world, &command)
    } else {
        let ran = world.dir.sh(&command);
        (ran.status, ran.stdout.len(), ran.stderr)
    };
    let wrong = said.lines().find(|line| !is_expected(line) && !command.contains("--profile"));
    if !status.success() || wrong.is_some() {
        return Err(format!("{status}: {said}"));
    }
    let written = file.and_then(|file| file.metadata().ok()).filter(|file| file.modified().ok() != began);
    let made = output + world.progress() - before + written.map_or(0, |file| file.len() as usize);
    // Nobody sends to what only listens.
    if made == 0 && !command.contains("heka-listen") { Err("nothing came of it".into()) } else { Ok(()) }
}

/// Lines that a program says where all is well.
fn is_expected(line: &str) -> bool {
    line.contains(" at 127.0.0.1:")
        || line.contains(", unixgram:")
        || line.starts_with("{\"program\"")
        || line.starts_with('[')
}

fn is_live(command: &str) -> bool {
    command.contains(" -f ") || command.contains("heka-listen")
}

/// Runs a command that doesn't end by itself until there is nothing more to do, then ends its source.
fn live(world: &World, command: &str) -> (ExitStatus, usize, String) {
    let mut running = world.dir.start(command);
    let mut stdout = running.child.stdout.take().unwrap();
    let output = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes).unwrap()
    });
    let mut stderr = running.child.stderr.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text).unwrap()
    });
    let shell = running.child.id();
    let source = || {
        let source = world::children(shell);
        source.into_iter().find(|child| matches!(child.name.as_str(), "heka-tail" | "heka-listen" | "heka-cat"))
    };
    let mut seen = (0, 0);
    eventually("the source has read what there is", || {
        let Some(child) = source() else { return running.child.try_wait().unwrap().is_some() };
        seen = if child.sleeps && child.ticks == seen.0 { (child.ticks, seen.1 + 1) } else { (child.ticks, 0) };
        seen.1 > 40
    });
    if let Some(source) = source() {
        world::terminate(source.id);
    }
    let status = running.wait(Duration::from_secs(30));
    (status, output.join().unwrap().len(), said.join().unwrap())
}

#[test]
fn readme() {
    let readme = std::fs::read_to_string(printed::root().join("README.md")).unwrap();
    let wrong = run(&World::new(), "README.md", printed::in_markdown(&readme));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn help() {
    let (world, mut count, mut wrong) = (World::new(), 0, Vec::new());
    for program in printed::programs() {
        let help = world.dir.sh(&format!("{program} --help")).ok();
        assert!(help.text().lines().all(|line| line.chars().count() <= 100), "{program}: lines are cut");
        let examples = printed::in_help(help.text());
        count += examples.len();
        wrong.extend(run(&world, &program, examples));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 40, "{count}");
}

#[test]
fn heads_of_scripts() {
    let (world, mut count, mut wrong) = (World::new(), 0, Vec::new());
    for (name, text) in printed::scripts() {
        let examples = printed::in_head(&text);
        count += examples.len();
        wrong.extend(run(&world, &name, examples));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 40, "{count}");
}
