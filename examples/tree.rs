//! Children of children: services start the contexts below them, and any two contexts can talk.
//!
//! `cargo run --example tree`
#![forbid(unsafe_code)]

use mitogen_service::{AllowAny, AllowParents, CallError, Context, Router, service};
use serde::{Deserialize, Serialize};

/// A context and those that were started below it. Contexts may stand anywhere in arguments and
/// results, and name the same process wherever they arrive.
#[derive(Serialize, Deserialize)]
struct Tree {
    context: Context,
    branches: Vec<Tree>,
}

/// Runs in every context of the tree.
#[derive(Default)]
struct Branch;

#[service(activate)]
impl Branch {
    /// Starts two contexts below this one, and so on to the given depth.
    #[expose(policy = AllowParents)]
    fn grow(&self, depth: u32, router: &Router) -> mitogen_service::Result<Tree> {
        grow(router, depth)
    }

    /// Who this is, and which process.
    #[expose(policy = AllowAny)]
    fn describe(&self, router: &Router) -> String {
        format!("{}, process {}", router.myself(), std::process::id())
    }

    /// What another context says of itself.
    #[expose(policy = AllowParents)]
    fn ask(&self, whom: Context) -> Result<String, CallError> {
        Branch::stub(&whom).describe().wait()
    }
}

fn grow(router: &Router, depth: u32) -> mitogen_service::Result<Tree> {
    let me = router.myself();
    let mut calls = Vec::new();
    let children = if depth == 0 { 0 } else { 2 };
    for number in 1..=children {
        let name = if router.parent().is_none() { number.to_string() } else { format!("{me}.{number}") };
        let child = router.local().name(name).connect()?;
        // Not waited for yet, so that the branches grow side by side.
        calls.push(Branch::stub(&child).grow(depth - 1));
    }
    let branches = calls.into_iter().map(|call| call.wait()).collect::<Result<_, CallError>>()?;
    Ok(Tree { context: me, branches })
}

#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn std::error::Error>> {
    let tree = grow(router, 3)?;
    print(&tree, 0)?;

    let leaves = tree.leaves();
    let [first, .., last] = leaves.as_slice() else { return Err("the tree has no leaves".into()) };
    assert_eq!(leaves.len(), 8);

    // From the root to the first leaf, and from there through five other contexts to the last one.
    let answer = Branch::stub(first).ask((*last).clone()).wait()?;
    assert!(answer.starts_with("2.2.2, "), "{answer}");
    println!("\nleaf {first} asked leaf {last}, which said: {answer}");

    // The end of a context is the end of everything below it.
    tree.branches[1].context.kill()?;
    let error = Branch::stub(first).ask((*last).clone()).wait().expect_err("a dead leaf cannot answer");
    assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
    println!("branch 2 was killed; leaf {first} asks again: {error}");
    assert!(!last.is_connected() && first.is_connected());
    Ok(())
}

impl Tree {
    fn leaves(&self) -> Vec<&Context> {
        match self.branches.as_slice() {
            [] => vec![&self.context],
            branches => branches.iter().flat_map(Tree::leaves).collect(),
        }
    }
}

fn print(tree: &Tree, depth: usize) -> Result<(), CallError> {
    let line = if depth == 0 {
        format!("{}, process {}", tree.context, std::process::id())
    } else {
        Branch::stub(&tree.context).describe().wait()?
    };
    println!("{:1$}{line}", "", 2 * depth);
    tree.branches.iter().try_for_each(|branch| print(branch, depth + 1))
}
