//! What is said: few lines, the gravest first, each with the workload's name, because kubectl says equal lines once.

use std::collections::HashMap;

use crate::admission::{
    Mode, Verdict,
    note::Note,
    respond::{WARNING_LIMIT, printable},
};

/// What people should know about the Pods of the workload `name` before they are made.
pub(super) fn lines(name: &str, mode: Mode, verdict: &Verdict) -> Vec<String> {
    let (speaker, refused) = match mode {
        Mode::Enforce => ("berth", "its Pods are refused"),
        Mode::Observe => ("berth observes", "its Pods would be refused"),
    };
    let prefix = format!("{speaker}: {}: ", printable(name, NAME));
    let refusal = verdict.denied.iter().map(|reason| format!("{refused}: {reason}"));
    let mut texts: Vec<String> = refusal.chain(gathered(&verdict.notes)).collect();
    let left = texts.len().saturating_sub(TEXTS);
    texts.truncate(TEXTS);
    let mut lines: Vec<String> = texts.iter().flat_map(|text| folded(&prefix, text)).collect();
    if left > 0 {
        let notes = if left == 1 { "note" } else { "notes" };
        lines.push(format!("{prefix}{left} more {notes}: `berth mutate -f FILE` shows all"));
    }
    lines
}

/// The notes, those first on which a person should act, and each text once with all that it is about.
fn gathered(notes: &[Note]) -> Vec<String> {
    let (mut gathered, mut places) = (Vec::<(&str, Vec<&str>)>::new(), HashMap::new());
    let (grave, others): (Vec<&Note>, Vec<&Note>) = notes.iter().partition(|note| note.attention);
    for note in grave.into_iter().chain(others) {
        let place = *places.entry(&*note.text).or_insert(gathered.len());
        if place == gathered.len() {
            gathered.push((&note.text, Vec::new()));
        }
        if let Some((_, names)) = gathered.get_mut(place) {
            names.extend(note.about.as_deref());
        }
    }
    gathered.into_iter().map(|(text, names)| [enumerated(&names), text.to_owned()].concat()).collect()
}

/// `web: `, `web, db: `, `web, db and 3 more: `; nothing for nobody.
fn enumerated(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("{one}: "),
        [one, other] => format!("{one}, {other}: "),
        [one, other, more @ ..] => format!("{one}, {other} and {} more: ", more.len()),
    }
}

/// `text` in a line, or in two where it is longer: the end says what to do.
fn folded(prefix: &str, text: &str) -> Vec<String> {
    let room = WARNING_LIMIT.saturating_sub(prefix.chars().count());
    let text = printable(text, usize::MAX);
    let Some((end, _)) = text.char_indices().nth(room) else { return vec![[prefix, &text].concat()] };
    let after = |mark: &str| Some(text.get(..end)?.rfind(mark)? + mark.len());
    let left = |at: usize| text.get(at..).map_or(0, |rest| "… ".chars().count() + rest.chars().count());
    // Where a sentence goes on, if the second line holds all the rest; else between words.
    let sentence = after(": ").filter(|at| left(*at) <= room);
    let word = after(" ").filter(|at| at * 2 > end);
    let (first, rest) = text.split_at(sentence.or(word).unwrap_or(end));
    let second = format!("{prefix}… {rest}");
    vec![[prefix, first.trim_end()].concat(), printable(&second, WARNING_LIMIT)]
}

/// Characters of a workload's name.
const NAME: usize = 40;
/// Texts about one workload, a line or two each.
const TEXTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(mode: Mode, notes: &[Note], denied: Option<&str>) -> Vec<String> {
        let verdict = Verdict { notes: notes.to_vec(), denied: denied.map(str::to_owned), ..Verdict::default() };
        lines("shop", mode, &verdict)
    }

    #[track_caller]
    fn check(notes: &[Note], denied: Option<&str>, want: &[&str]) {
        assert_eq!(said(Mode::Enforce, notes, denied), want);
    }

    #[test]
    fn what_goes_well_is_not_mentioned() {
        check(&[], None, &[]);
    }

    #[test]
    fn the_gravest_comes_first_and_what_is_equal_once() {
        let down = |name| Note::attention("not pinned: docker.io: connection refused").about(name);
        let info = Note::info("re-pinned: latest means another build now").about("log");
        let pod = Note::attention("not placed, since no node is known");
        check(
            &[info, down("web"), pod, down("db")],
            Some("api: image x could not be pinned"),
            &[
                "berth: shop: its Pods are refused: api: image x could not be pinned",
                "berth: shop: web, db: not pinned: docker.io: connection refused",
                "berth: shop: not placed, since no node is known",
                "berth: shop: log: re-pinned: latest means another build now",
            ],
        );
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(down).into();
        check(&many, None, &["berth: shop: a, b and 3 more: not pinned: docker.io: connection refused"]);
    }

    #[test]
    fn observing_says_so() {
        let notes = [Note::info("n").about("web")];
        let want = ["berth observes: shop: its Pods would be refused: r", "berth observes: shop: web: n"];
        assert_eq!(said(Mode::Observe, &notes, Some("r")), want);
    }

    #[test]
    fn many_notes_are_a_few_lines() {
        let notes: Vec<_> = (0..500).map(|number| Note::info(format!("{number} {}", "x".repeat(300)))).collect();
        let lines = said(Mode::Enforce, &notes, None);
        assert_eq!(lines.len(), 11, "five of two lines each, and how many more");
        assert_eq!(lines.last().unwrap(), "berth: shop: 495 more notes: `berth mutate -f FILE` shows all");
        assert!(said(Mode::Enforce, &notes[..6], None).last().unwrap().contains("1 more note:"));
        assert!(said(Mode::Enforce, &notes[..5], None).last().unwrap().starts_with("berth: shop: … x"));
    }

    #[test]
    fn a_long_text_goes_on_in_a_second_line_where_a_sentence_or_a_word_ends() {
        let load = "`docker save shop/petstore:dev | docker exec -i NODE ctr -n k8s.io images import -`";
        let text = format!("waits, since no node has shop/petstore:dev: {load}");
        check(
            &[Note::attention(text).about("main")],
            None,
            &["berth: shop: main: waits, since no node has shop/petstore:dev:", &format!("berth: shop: … {load}")],
        );
        let words = "word ".repeat(40);
        let lines = said(Mode::Enforce, &[Note::info(words.trim())], None);
        assert_eq!(lines[0], format!("berth: shop: {}", ["word"; 21].join(" ")));
        assert_eq!(lines[1], format!("berth: shop: … {}", ["word"; 19].join(" ")));
    }

    /// Not where a sentence goes on, if something would be lost by that.
    #[test]
    fn nothing_is_lost_that_two_lines_can_hold() {
        let words = "word ".repeat(36);
        let text = format!("early: {}", words.trim());
        let lines = said(Mode::Enforce, &[Note::info(text.clone())], None);
        let [first, second] = &*lines else { panic!("{lines:?}") };
        let (first, second) = (first.strip_prefix("berth: shop: "), second.strip_prefix("berth: shop: … "));
        assert_eq!([first.unwrap(), second.unwrap()].join(" "), text);
    }

    #[test]
    fn every_line_is_what_the_api_server_passes_on() {
        let letters = ["é", "x", "\u{7}", "\n", "a b: ", "😀"];
        for letter in letters {
            for length in [1, 20, 60, 106, 107, 108, 200, 500] {
                let notes = [Note::info(letter.repeat(length)).about(&letter.repeat(70))];
                let verdict = Verdict { notes: notes.to_vec(), ..Verdict::default() };
                for line in lines(&letter.repeat(253), Mode::Observe, &verdict) {
                    assert!(line.chars().count() < 120 && !line.contains(char::is_control), "{line:?}");
                }
            }
        }
    }
}
