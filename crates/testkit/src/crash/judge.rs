//! What a server came back with, and whether it may be so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Policy;
use super::load::Story;
use super::state::{Seen, State, look};
use super::step::{SHARED, names, shared_key};
use crate::{Client, Value};

/// `everysec` may lose a second; the rest is for a machine that does other things, too.
const LOSS_MAX: Duration = Duration::from_millis(1_300);

pub(super) struct Verdict {
    /// Acknowledged steps that are gone, where that is allowed.
    pub lost: usize,
}

/// How many of a client's steps are kept: a step that changes nothing leaves more than one answer.
struct Kept {
    least: usize,
    most: usize,
}

impl Verdict {
    /// Looks at all keys. `states` and `shared` are what they were before the stories, and become what they are now.
    pub fn of(
        client: &mut Client,
        policy: Policy,
        states: &mut [State],
        shared: &mut [i64; SHARED],
        stories: &[Story],
        killed: Instant,
    ) -> Result<Verdict, String> {
        let mut kept = Vec::new();
        for (number, (state, story)) in states.iter_mut().zip(stories).enumerate() {
            let seen = names(number).map(|name| look(client, &name).map(|seen| (name, seen)));
            let seen = seen.collect::<Result<BTreeMap<_, _>, _>>()?;
            let promised = if policy == Policy::Always { story.acknowledged() } else { story.confirmed };
            let found = match_steps(state, story, &seen, promised);
            kept.push(found.map_err(|why| format!("client {number}: {why}"))?);
            let known = seen.into_iter().filter_map(|(name, seen)| Some((name, seen.known()?)));
            state.entries = known.collect();
        }
        one_cut(stories, &kept)?;
        if policy == Policy::EverySecond {
            not_too_much(stories, &kept, killed)?;
        }
        for (number, before) in shared.iter_mut().enumerate() {
            let of_one = |(story, kept): (&Story, &Kept)| -> i64 {
                story.steps[..kept.most].iter().map(|told| told.step.counts(number)).sum()
            };
            let expected = *before + stories.iter().zip(&kept).map(of_one).sum::<i64>();
            let reply = client.call(&["GET", &shared_key(number)]).map_err(|error| error.to_string())?;
            let found = count(&reply).ok_or_else(|| format!("{}: {reply}", shared_key(number)))?;
            if found != expected {
                return Err(format!("{} is {found}, and the steps kept make {expected}", shared_key(number)));
            }
            *before = found;
        }
        let lost = stories.iter().zip(&kept).map(|(story, kept)| story.acknowledged().saturating_sub(kept.most)).sum();
        Ok(Verdict { lost })
    }
}

fn count(reply: &Value) -> Option<i64> {
    if reply.is_null() { Some(0) } else { reply.as_str()?.parse().ok() }
}

/// Finds the steps after which the keys were as they are seen, from the promised one on.
fn match_steps(before: &State, story: &Story, seen: &BTreeMap<String, Seen>, promised: usize) -> Result<Kept, String> {
    let mut state = before.clone();
    let mut kept: Option<Kept> = None;
    let mut nearest: Option<(usize, Vec<String>)> = None;
    for count in 0..=story.steps.len() {
        if let Some(told) = count.checked_sub(1).and_then(|last| story.steps.get(last)) {
            told.apply(&mut state);
        }
        if count < promised {
            continue;
        }
        let wrong = |(name, seen): (&String, &Seen)| {
            let expected = state.entries.get(name);
            (!seen.fits(expected)).then(|| format!("{name} is {seen:?}, not {expected:?}"))
        };
        let wrong: Vec<String> = seen.iter().filter_map(wrong).collect();
        if wrong.is_empty() {
            let least = kept.map_or(count, |kept| kept.least);
            kept = Some(Kept { least, most: count });
        } else if nearest.as_ref().is_none_or(|(_, fewest)| wrong.len() < fewest.len()) {
            nearest = Some((count, wrong));
        }
    }
    kept.ok_or_else(|| {
        let (count, wrong) = nearest.unwrap_or_default();
        let of = story.steps.len();
        let (steps, acknowledged) = (&story.steps[count.saturating_sub(2)..(count + 2).min(of)], story.acknowledged());
        let steps: Vec<String> = steps.iter().map(|told| format!("{:.300}", format!("{:?}", told.step))).collect();
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{wrong:.600}")).collect();
        format!(
            "its keys are as after none of its steps {promised} to {of} ({acknowledged} acknowledged); nearest is {count}:\n{}\nsteps around it:\n{}",
            wrong.join("\n"),
            steps.join("\n")
        )
    })
}

/// What was acknowledged before another step was sent is not lost if that one is kept.
fn one_cut(stories: &[Story], kept: &[Kept]) -> Result<(), String> {
    let lost = |(number, (story, kept)): (usize, (&Story, &Kept))| {
        story.steps.get(kept.most).and_then(|told| Some((number, kept.most, told.acknowledged?)))
    };
    let first_lost = stories.iter().zip(kept).enumerate().filter_map(lost).min_by_key(|(_, _, at)| *at);
    let last = |(number, (story, kept)): (usize, (&Story, &Kept))| {
        let last = kept.least.checked_sub(1)?;
        story.steps.get(last).map(|told| (number, last, told.sent))
    };
    let last_kept = stories.iter().zip(kept).enumerate().filter_map(last).max_by_key(|(_, _, at)| *at);
    match (first_lost, last_kept) {
        (Some((loser, lost, acknowledged)), Some((winner, kept, sent))) if acknowledged < sent => Err(format!(
            "no cut of history: step {kept} of client {winner} is kept, which was sent {:?} after step {lost} of client {loser} had been acknowledged, which is lost",
            sent - acknowledged
        )),
        _ => Ok(()),
    }
}

fn not_too_much(stories: &[Story], kept: &[Kept], killed: Instant) -> Result<(), String> {
    for (number, (story, kept)) in stories.iter().zip(kept).enumerate() {
        let lost = story.steps.get(kept.most).and_then(|told| told.acknowledged);
        let age = lost.map_or(Duration::ZERO, |at| killed.saturating_duration_since(at));
        if age > LOSS_MAX {
            return Err(format!("step {} of client {number} is lost, acknowledged {age:?} before the end", kept.most));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
