//! Budgets of documents and reports. Those of documents are checked before a tree is built.
//!
//! They are far above the needs of real models (the largest of some 4,500 public ones is 0.9 MiB), and low enough that
//! the most expensive accepted document is still cheap to parse.

/// Largest document in bytes: 1 MiB.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of elements.
pub const MAX_DEPTH: usize = 256;
/// Most attributes, namespace declarations included, on one element. The tree parser compares the attributes of an
/// element pairwise, so without this bound it would not be linear.
pub const MAX_ATTRIBUTES: usize = 256;
/// Longest element or attribute name in bytes, prefix included: 1 KiB.
pub const MAX_NAME_BYTES: usize = 1024;
/// Most namespace declarations in scope at one place. The tree parser copies them for each element that declares
/// another one.
pub const MAX_NAMESPACES: usize = 256;
/// Most nodes (elements, texts, comments) in the tree.
pub const MAX_NODES: u32 = 200_000;
/// Most findings in one report; a report with more is cut and marked [`truncated`](crate::Report::truncated).
pub const MAX_FINDINGS: usize = 1_000;
/// Longest id, job type or version tag that the engine stores, in characters.
pub const MAX_IDENTIFIER_CHARS: usize = 255;
/// Most job types of one document. Each is a separate metric series, and all tenants of an engine share their total. No
/// known model made by hand has half as many.
pub const MAX_JOB_TYPES: usize = 500;
/// Longest finding message in characters.
pub const MAX_MESSAGE_CHARS: usize = 256;
/// Longest identifier in a finding, in characters; longer ones are truncated.
pub const MAX_QUOTED_CHARS: usize = 96;
