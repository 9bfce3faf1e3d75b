use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn waiter(client: &str) -> Waiter<String> {
    Waiter { owner: Owner::Client(client.into()), since: Instant::now(), patience: SECOND, wake: client.to_owned() }
}

fn push(line: &mut Line<String>, class: Class, client: &str, count: usize) -> Vec<u64> {
    (0..count).map(|_| line.push(class, waiter(client))).collect()
}

fn served(line: &mut Line<String>, count: usize) -> Vec<(Class, String)> {
    (0..count).filter_map(|_| line.pop()).map(|(class, waiter)| (class, waiter.wake)).collect()
}

#[test]
fn classes_that_all_wait_are_served_by_weight_and_none_is_starved() {
    let mut line = Line::new();
    Class::ALL.iter().for_each(|class| drop(push(&mut line, *class, "a", 2_000)));
    let served = served(&mut line, 1_550);
    for class in Class::ALL {
        let count = served.iter().filter(|(served, _)| *served == class).count() as u64;
        let fair = 10 * WEIGHTS[class as usize];
        assert!(count.abs_diff(fair) <= 1, "{class:?}: {count} of {fair}");
    }
}

#[test]
fn a_critical_request_passes_whatever_waits() {
    let mut line = Line::new();
    for class in [Class::Background, Class::Low, Class::Normal, Class::High] {
        push(&mut line, class, "flood", 1_000);
    }
    for _ in 0..60 {
        served(&mut line, 7);
        push(&mut line, Class::Critical, "ops", 1);
        assert_eq!(served(&mut line, 1)[0].0, Class::Critical);
    }
}

#[test]
fn a_pause_earns_nothing() {
    let mut line = Line::new();
    push(&mut line, Class::Low, "a", 1_000);
    served(&mut line, 500);
    push(&mut line, Class::Normal, "b", 100);
    push(&mut line, Class::High, "c", 1_000);
    let first = served(&mut line, 26);
    assert!(first.iter().any(|(class, _)| *class == Class::Low), "not starved while others catch up");
    assert!(first.iter().filter(|(class, _)| *class == Class::High).count() >= 15);
}

#[test]
fn clients_of_a_class_take_turns() {
    let mut line = Line::new();
    push(&mut line, Class::Normal, "noisy", 100);
    served(&mut line, 10);
    push(&mut line, Class::Normal, "b", 3);
    push(&mut line, Class::Normal, "c", 2);
    let names: Vec<String> = served(&mut line, 9).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["noisy", "b", "c", "noisy", "b", "c", "noisy", "b", "noisy"]);
}

#[test]
fn the_estimate_is_exact_for_a_newcomer_and_for_the_noisy() {
    let mut line = Line::new();
    push(&mut line, Class::Normal, "noisy", 100);
    push(&mut line, Class::Normal, "b", 1);
    let owner = |name: &str| Owner::Client(name.into());
    assert_eq!(line.ahead(Class::Normal, &owner("new")), 2);
    assert_eq!(line.ahead(Class::Normal, &owner("b")), 1 + 2);
    assert_eq!(line.ahead(Class::Normal, &owner("noisy")), 101);
    assert_eq!(line.ahead(Class::High, &owner("noisy")), 0);
    push(&mut line, Class::Normal, "new", 1);
    let position = served(&mut line, 10).iter().position(|(_, name)| name == "new");
    assert_eq!(position, Some(2));
}

/// Lets as many of a client's requests in as there is room for, each with what it displaced.
fn fill(line: &mut Line<String>, client: &str, size: usize) -> (usize, Vec<String>, Full) {
    let owner = Owner::Client(client.into());
    let (mut count, mut displaced) = (0, Vec::new());
    loop {
        if let Err(full) = line.room(Class::Low, &owner, size) {
            return (count, displaced, full);
        }
        displaced.extend(line.displace(Class::Low, size).map(|waiter| waiter.wake));
        push(line, Class::Low, client, 1);
        count += 1;
    }
}

#[test]
fn one_client_has_the_whole_queue_until_others_come_and_take_their_share() {
    let mut line = Line::new();
    assert_eq!(fill(&mut line, "a", 90), (90, vec![], Full::Share));
    let (count, displaced, full) = fill(&mut line, "b", 90);
    assert!((44..=45).contains(&count) && displaced.len() == count && full == Full::Share, "{count}");
    assert!(displaced.iter().all(|name| name == "a"), "whose share was lent");
    let (count, displaced, _) = fill(&mut line, "c", 90);
    assert!((29..=30).contains(&count), "{count}");
    let of_a = displaced.iter().filter(|name| *name == "a").count();
    assert!(of_a.abs_diff(displaced.len() - of_a) <= 1, "from both alike: {displaced:?}");
    assert_eq!(line.len(), 90);
    for i in 0..87 {
        fill(&mut line, &i.to_string(), 90);
    }
    assert_eq!(line.room(Class::Low, &Owner::Nobody, 90), Err(Full::Class), "ninety clients with one each");
    assert_eq!(line.len(), 90);
}

#[test]
fn who_has_been_served_long_is_displaced_no_sooner_than_by_its_share() {
    let mut line = Line::new();
    fill(&mut line, "a", 10);
    served(&mut line, 500);
    fill(&mut line, "a", 10);
    let (count, displaced, _) = fill(&mut line, "b", 10);
    assert!((4..=5).contains(&count) && displaced.len() == count, "{count}");
    assert_eq!(line.room(Class::Low, &Owner::Client("a".into()), 10), Err(Full::Share));
    assert_eq!(line.room(Class::High, &Owner::Client("a".into()), 10), Ok(()), "another class");
    assert_eq!(line.room(Class::High, &Owner::Client("a".into()), 0), Err(Full::Class));
}

#[test]
fn a_raised_request_goes_with_its_new_class() {
    let mut line = Line::new();
    push(&mut line, Class::High, "people", 2);
    let batch = push(&mut line, Class::Low, "batch", 50);
    line.raise(batch[30], Class::High);
    line.raise(batch[30], Class::Low);
    assert_eq!((line.of_class(Class::High), line.of_class(Class::Low)), (3, 49));
    let first: Vec<String> = served(&mut line, 2).into_iter().map(|(_, name)| name).collect();
    assert_eq!(first, ["people", "batch"], "in turn with the clients of its new class");
    line.raise(batch[30], Class::Critical);
    assert_eq!(line.len(), 50, "gone is gone");
}

proptest! {
    /// Whatever happens, each request is served once or removed, oldest first per client and class, and nothing is left.
    #[test]
    fn nothing_is_lost_or_kept(steps in proptest::collection::vec((0u8..10, 0usize..5, 0usize..4, 0usize..40), 1..300)) {
        let mut line: Line<u64> = Line::new();
        let mut waiting: Vec<(u64, Class, usize)> = Vec::new();
        for (kind, class, client, pick) in steps {
            let class = Class::ALL[class];
            match kind {
                0..=4 => {
                    let owner = Owner::Client(client.to_string().into());
                    let number = line.push(class, Waiter { owner, since: Instant::now(), patience: SECOND, wake: line.next });
                    waiting.push((number, class, client));
                }
                5..=7 => {
                    let popped = line.pop();
                    prop_assert_eq!(popped.is_some(), !waiting.is_empty());
                    if let Some((class, waiter)) = popped {
                        let at = waiting.iter().position(|(number, ..)| *number == waiter.wake).unwrap();
                        let (_, of_class, _) = waiting.remove(at);
                        prop_assert_eq!(of_class, class);
                    }
                }
                8 if !waiting.is_empty() => {
                    let (number, ..) = waiting.remove(pick % waiting.len());
                    prop_assert_eq!(line.remove(number).unwrap().1.wake, number);
                    prop_assert!(line.remove(number).is_none());
                }
                9 if !waiting.is_empty() => {
                    let at = pick % waiting.len();
                    line.raise(waiting[at].0, class);
                    waiting[at].1 = waiting[at].1.max(class);
                }
                _ => {}
            }
            prop_assert_eq!(line.len(), waiting.len());
            for class in Class::ALL {
                let queue = &line.classes[class as usize];
                let of_class = waiting.iter().filter(|(_, of, _)| *of == class).count();
                prop_assert_eq!(queue.waiting.len(), of_class);
                prop_assert_eq!(queue.clients.values().map(|(waiting, _)| waiting).sum::<usize>(), of_class);
            }
        }
        while line.pop().is_some() {}
        prop_assert!(line.places.is_empty() && line.classes.iter().all(|class| class.clients.is_empty()));
    }
}
