//! States of structs.

use adamant_derive::Stateful;
use adamant_tensor::{Generator, StateDict, Stateful, Value};

#[derive(Stateful, Debug, Default, PartialEq)]
#[stateful(crate = adamant_tensor)]
struct Progress {
    step: u64,
    r#type: String,
    best: Option<f64>,
    #[stateful(skip)]
    shown: usize,
}

#[derive(Stateful)]
#[stateful(crate = adamant_tensor)]
struct Run<'a, M, const N: usize>
where
    M: Clone,
{
    model: M,
    history: Vec<M>,
    rngs: [Generator; N],
    progress: &'a mut Progress,
}

/// A tuple struct, and bounds for types that only contain the parameter.
#[derive(Stateful, Debug, PartialEq)]
#[stateful(crate = adamant_tensor)]
struct Pair<A, B>(A, Option<B>, #[stateful(skip)] std::marker::PhantomData<B>);

#[derive(Stateful)]
#[stateful(crate = adamant_tensor)]
struct Nothing;

/// Refers to itself.
#[derive(Stateful, Default)]
#[stateful(crate = adamant_tensor)]
struct Tree<V>
where
    V: Default,
{
    value: V,
    below: Vec<Tree<V>>,
}

fn progress() -> Progress {
    Progress { step: 7, r#type: "sgd".into(), best: Some(0.5), shown: 3 }
}

fn run(progress: &mut Progress) -> Run<'_, f32, 2> {
    let rngs = [Generator::seed(1), Generator::seed(2)];
    Run { model: 0.25, history: vec![1.0, 0.5], rngs, progress }
}

#[test]
fn names_are_the_paths_of_fields() {
    let mut progress = progress();
    let state = run(&mut progress).state_dict();
    let names: Vec<&str> = state.keys().filter(|name| !name.starts_with("rngs.")).collect();
    let expected = [
        "model",
        "history",
        "progress.step",
        "progress.type",
        "progress.best.is_some",
        "progress.best.value",
    ];
    assert_eq!(names, expected);
    assert_eq!(state.part("rngs.1"), Generator::seed(2).state_dict());
    assert!(Nothing.state_dict().is_empty());
}

#[test]
fn everything_but_skipped_fields_is_restored() {
    let mut saved = progress();
    let state = run(&mut saved).state_dict();
    let mut loaded = Progress { shown: 11, ..Progress::default() };
    let rngs = [Generator::seed(3), Generator::seed(4)];
    let mut other = Run { model: 0.0, history: vec![], rngs, progress: &mut loaded };
    other.load_state_dict(&state).unwrap();
    assert_eq!(other.state_dict(), state);
    assert_eq!(other.history, [1.0, 0.5]);
    assert_eq!(loaded, Progress { shown: 11, ..progress() });
}

#[test]
fn a_renamed_field_is_reported_and_nothing_is_loaded() {
    let mut saved = progress();
    let mut state = run(&mut saved).state_dict();
    state.rename("progress.step", "progress.steps").unwrap();
    state.insert("history", "long");
    state.insert("seed", 1);
    let mut loaded = Progress::default();
    let mut other = run(&mut loaded);
    other.model = 2.0;
    let before = other.state_dict();
    let error = other.load_state_dict(&state).unwrap_err();
    let expected = [
        "`history`: found the string \"long\", expected a list",
        "`progress.step`: missing, expected a u64",
        "`progress.steps`: found the integer 7, expected nothing of this name",
        "`seed`: found the integer 1, expected nothing of this name",
    ];
    assert_eq!(error.mismatches(), expected);
    assert_eq!(other.state_dict(), before);
    assert!(other.check_state_dict(&state) == Err(error));
}

#[test]
fn fields_of_a_tuple_struct_are_named_by_index() {
    let saved = Pair(1u32, Some(true), std::marker::PhantomData);
    let state = saved.state_dict();
    assert_eq!(state.keys().collect::<Vec<_>>(), ["0", "1.is_some", "1.value"]);
    let mut loaded = Pair(0, None, std::marker::PhantomData);
    loaded.load_state_dict(&state).unwrap();
    assert_eq!(loaded, saved);
}

#[test]
fn recursive_generic_structs_derive() {
    let leaf = |value| Tree { value, below: vec![] };
    let tree = Tree { value: 1i64, below: vec![leaf(2), leaf(3)] };
    let mut loaded = leaf(0);
    loaded.load_state_dict(&tree.state_dict()).unwrap();
    assert_eq!(loaded.below[1].value, 3);
    assert_eq!(loaded.state_dict(), tree.state_dict());
}

#[test]
fn a_dictionary_is_its_own_state() {
    let entries = [("a", Value::Int(1)), ("", Value::Bool(true))];
    let mut pair = (StateDict::from_iter(entries), 1u8);
    let state = pair.state_dict();
    assert_eq!(state.keys().collect::<Vec<_>>(), ["0.a", "0", "1"]);
    pair.0 = StateDict::new();
    pair.load_state_dict(&state).unwrap();
    assert_eq!(pair.0, StateDict::from_iter([("a", Value::Int(1)), ("", Value::Bool(true))]));
}
