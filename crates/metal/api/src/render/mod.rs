//! Documents as MAAS's clients see them: every key of MAAS 3.7, with its null and empty forms.

pub mod cache;
pub mod embedded;
pub mod machine;
pub mod machine_parts;
pub mod network;
