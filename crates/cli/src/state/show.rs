//! `ticketshim state show`: nothing of it is secret.

use std::path::Path;

use serde::Serialize;
use ticketshim_keys::settings::Duration;
use ticketshim_keys::state::{ChainTimes, Readers, Refusal, State};

use crate::text::{Hex, Utc, group_name, say, user_name};

/// What is shown.
#[derive(Serialize)]
pub(super) struct Shown {
    file: String,
    generation: u64,
    /// The one in use, and of that the next four.
    chain: String,
    epoch: u64,
    epoch_begins: u64,
    rotate_seconds: u64,
    accept_seconds: u64,
    ahead_seconds: u64,
    owner: u32,
    group: Option<u32>,
    mode: String,
    chains: Vec<ShownChain>,
    keys: Vec<ShownKey>,
}

#[derive(Serialize)]
struct ShownChain {
    chain: String,
    /// "before", "in use" or "announced".
    state: &'static str,
    sealing_from: u64,
    opening_until: Option<u64>,
    epoch: u64,
    rotate_seconds: u64,
    accept_seconds: u64,
}

#[derive(Serialize)]
struct ShownKey {
    name: String,
    chain: String,
    epoch: u64,
    begins: u64,
    ends: u64,
    seals: bool,
}

impl Shown {
    pub(super) fn of(file: &Path, state: &State, readers: Readers, now: u64) -> Result<Self, Refusal> {
        let in_use = state.in_use(now);
        let keys = state.keys(now)?.into_iter().map(|key| ShownKey {
            name: Hex(&key.name.0).to_string(),
            chain: key.chain.to_string(),
            epoch: key.epoch,
            begins: key.begins,
            ends: key.ends,
            seals: key.seals,
        });
        let chains = state.chains(now);
        let current = chains.iter().position(|chain| chain.in_use).unwrap_or_default();
        let chains = chains.iter().enumerate().map(|(at, chain)| ShownChain::of(chain, at.cmp(&current)));
        Ok(Self {
            file: file.display().to_string(),
            generation: state.generation(),
            chain: in_use.id.to_string(),
            epoch: in_use.epoch,
            epoch_begins: in_use.schedule.epoch.start_of(in_use.epoch),
            rotate_seconds: in_use.schedule.epoch.seconds(),
            accept_seconds: in_use.schedule.accept(),
            ahead_seconds: state.ahead(now),
            owner: readers.owner,
            group: readers.group,
            mode: format!("{:04o}", readers.mode),
            chains: chains.collect(),
            keys: keys.collect(),
        })
    }

    pub(super) fn print(&self) {
        say(format_args!("file:        {}", self.file));
        say(format_args!("generation:  {}", self.generation));
        say(format_args!("chain:       {}", self.chain));
        say(format_args!("stands at:   epoch {}, from {}", self.epoch, Utc(self.epoch_begins)));
        say(format_args!("keys change: every {}", Duration(self.rotate_seconds)));
        say(format_args!("keys open:   for {}", Duration(self.accept_seconds)));
        let group = self.group.map(|gid| format!(" and members of {}", group_name(gid))).unwrap_or_default();
        say(format_args!("readable by: {}{group} (mode {})", user_name(self.owner), self.mode));
        for chain in self.chains.iter().filter(|chain| chain.state != "in use") {
            let until = chain.opening_until.map(|until| format!(", opens until {}", Utc(until))).unwrap_or_default();
            match chain.state {
                "announced" => {
                    let from = Utc(chain.sealing_from);
                    say(format_args!("announced:   chain {}, in use from {from}{until}", chain.chain));
                }
                _ => say(format_args!("before:      chain {}{until}", chain.chain)),
            }
        }
        for chain in &self.chains {
            say(format_args!("keys of {}:", chain.chain));
            for key in self.keys.iter().filter(|key| key.chain == chain.chain) {
                let seals = if key.seals { "  in use" } else { "" };
                say(format_args!("  {}  from {}  until {}{seals}", key.name, Utc(key.begins), Utc(key.ends)));
            }
        }
    }
}

impl ShownChain {
    fn of(chain: &ChainTimes, to_current: std::cmp::Ordering) -> Self {
        let state = match to_current {
            std::cmp::Ordering::Less => "before",
            std::cmp::Ordering::Equal => "in use",
            std::cmp::Ordering::Greater => "announced",
        };
        Self {
            chain: chain.id.to_string(),
            state,
            sealing_from: chain.sealing_from,
            opening_until: chain.opening_until,
            epoch: chain.epoch,
            rotate_seconds: chain.schedule.epoch.seconds(),
            accept_seconds: chain.schedule.accept(),
        }
    }
}
