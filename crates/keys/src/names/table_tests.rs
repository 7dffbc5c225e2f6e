use super::*;

fn empty(buckets: usize) -> Vec<Bucket> {
    std::iter::repeat_with(Bucket::new).take(buckets).collect()
}

/// A hash of it, as good as any here.
fn key(n: u64) -> Key {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0;
    std::array::from_fn(|_| {
        state ^= state >> 30;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
        state = state.wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ state >> 31
    })
}

fn value(n: u64) -> Value {
    key(!n)
}

fn known(table: &Table<'_>, names: std::ops::Range<u64>) -> usize {
    names.filter(|n| table.get(&key(*n)).inspect(|found| assert_eq!(*found, value(*n), "{n}")).is_some()).count()
}

#[test]
fn what_was_put_is_found_and_nothing_else() {
    let buckets = empty(7 * 4);
    let table = Table::new(&buckets, 4);
    assert_eq!(table.count, 3);
    assert_eq!(table.get(&key(1)), None);
    table.put(&key(1), &value(1), 0);
    assert_eq!(table.get(&key(1)), Some(value(1)));
    assert_eq!(table.get(&key(2)), None);
    table.put(&key(1), &value(1), 1000);
    assert_eq!(table.get(&key(1)), Some(value(1)));
    table.put(&key(1), &value(2), 1000);
    assert_eq!(table.get(&key(1)), None, "it led to two");
    table.put(&key(1), &value(1), 2000);
    assert_eq!(table.get(&key(1)), None, "and stays unknown");
}

#[test]
fn a_table_without_memory_knows_nothing() {
    let table = Table::new(&[], 4);
    table.put(&key(1), &value(1), 0);
    table.prove(&key(1), 0);
    assert_eq!(table.get(&key(1)), None);
}

#[test]
fn levels_are_touched_as_names_come_and_hold_what_they_say() {
    let buckets = empty(15 * 16);
    let table = Table::new(&buckets, 16);
    let touched = |table: &Table<'_>| {
        let is_touched = |level: &&[Bucket]| level.iter().any(|bucket| bucket.ways().any(|way| !way.seen.is_none()));
        table.levels.iter().filter(|level| is_touched(level)).count()
    };
    (0..16).for_each(|n| table.put(&key(n), &value(n), 0));
    assert_eq!((touched(&table), known(&table, 0..16)), (1, 16));
    // Two thirds of what it holds: all are there.
    let most = (buckets.len() * WAYS * 2 / 3) as u64;
    (0..most).for_each(|n| table.put(&key(n), &value(n), 0));
    assert_eq!((touched(&table), known(&table, 0..most)), (4, most as usize));
    // Many times over: what is there is right, and the newest is there.
    for n in 0..100 * most {
        table.put(&key(n), &value(n), n as u32);
        assert_eq!(table.get(&key(n)), Some(value(n)), "{n}");
    }
    assert!(known(&table, 0..100 * most) > buckets.len() * WAYS * 9 / 10);
}

#[test]
fn made_up_names_push_out_one_another() {
    let buckets = empty(15 * 16);
    let table = Table::new(&buckets, 16);
    let (holds, mut now) = ((buckets.len() * WAYS) as u64, 0);
    let proved = holds / 2;
    for n in 0..proved {
        table.put(&key(n), &value(n), now);
        table.prove(&key(n), now);
    }
    for n in proved..100 * holds {
        now += 1;
        table.put(&key(n), &value(n), now);
    }
    assert_eq!(known(&table, 0..proved), proved as usize, "all that were proved are there");

    // Full of proved ones: the same flood takes few of them, and those that were used longest ago.
    let buckets = empty(15 * 16);
    let table = Table::new(&buckets, 16);
    now = 0;
    for n in 0..holds {
        now += 64;
        table.put(&key(n), &value(n), now);
        table.prove(&key(n), now);
    }
    let before = known(&table, 0..holds);
    for n in holds..100 * holds {
        table.put(&key(n), &value(n), now);
    }
    let after = known(&table, 0..holds);
    assert!(after * 4 > before * 3, "{after} of {before}");
    // And a name that comes back is proved among them.
    table.put(&key(1 << 40), &value(1 << 40), now);
    table.prove(&key(1 << 40), now);
    for n in 100 * holds..200 * holds {
        table.put(&key(n), &value(n), now);
    }
    assert_eq!(table.get(&key(1 << 40)), Some(value(1 << 40)));
}

#[test]
fn what_is_torn_is_not_known_and_written_again() {
    let buckets = empty(1);
    let table = Table::new(&buckets, 1);
    for words in 1..=WORDS {
        table.put(&key(1), &value(1), 0);
        let whole = buckets[0].entries[0].read().unwrap();
        let torn = std::array::from_fn(|i| if i < words { whole[i] } else { 7 });
        buckets[0].entries[0].tear(&torn);
        assert_eq!(table.get(&key(1)), None, "{words}");
        table.put(&key(1), &value(1), 0);
        assert_eq!(table.get(&key(1)), Some(value(1)), "{words}: not taken for unsteady");
    }
}

/// A process that was taken over may leave anything there.
#[test]
fn whatever_is_there_costs_what_is_known_and_no_more() {
    let buckets = empty(7 * 2);
    let table = Table::new(&buckets, 2);
    let mut random = 1u64;
    for round in 0..2000u64 {
        for bucket in &buckets {
            for (tag, entry) in bucket.tags.iter().zip(&bucket.entries) {
                random = key(random)[0];
                match random % 5 {
                    0 => tag.store(random, Ordering::Relaxed),
                    1 => tag.store(Tag::of(&key(round)).0 | (random % (1 << 20)), Ordering::Relaxed),
                    2 => tag.store([0, u64::MAX][random as usize / 8 % 2], Ordering::Relaxed),
                    3 => entry.write(&[random; WORDS + 1]),
                    _ => entry.tear(&[random; WORDS + 1]),
                }
            }
        }
        table.put(&key(round), &value(round), random as u32);
        table.prove(&key(round), random as u32);
        assert!(table.get(&key(round)).is_none_or(|found| found == value(round)));
    }
    // It goes on.
    (0..4).for_each(|n| table.put(&key(n), &value(n), 0));
    assert!(known(&table, 0..4) > 0);
}

#[test]
fn times_go_round() {
    let tag = Tag::of(&key(1));
    for (then, now, age) in [(0, 63, 0), (0, 64, 1), (6400, 0, 0), (u32::MAX - 64, u32::MAX, 1), (1000, 1000, 0)] {
        assert_eq!(tag.at(then).age(now), age, "{then} {now}");
        assert!(tag.at(then).is_of(&key(1)) && !tag.at(then).is_of(&key(2)) && !tag.at(then).is_proved());
        assert!(tag.proved().at(then).is_proved());
    }
    assert!(!Tag::of(&[0; 4]).is_none());
}
