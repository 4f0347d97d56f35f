//! Has the crate compiled again when the console was built anew.

fn main() {
    println!("cargo::rerun-if-changed=../../../console/dist");
}
