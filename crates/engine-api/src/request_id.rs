//! Names for mutations, so that a repeated one is recognised.

use uuid::Uuid;

/// Our own name space, so that no other use of the same words gives the same id.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c0f_5b0e_52f4_4d0e_9c5e_8a1c_77f1_a0d3);

/// The `request_id` of one step of one generation of one object: the same whenever the step is tried again, another
/// one as soon as the object changes. The engine answers a repeated id with its former answer for 24 h.
pub fn request_id(uid: &str, generation: i64, step: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{uid}/{generation}/{step}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::request_id;

    #[test]
    fn repeated_step_has_the_same_id() {
        assert_eq!(
            request_id("uid-1", 3, "deploy"),
            "b1f46073-34ef-5b44-ae73-b8e7dc8e0a41",
            "stable over releases"
        );
    }

    #[test]
    fn another_uid_generation_or_step_has_another_id() {
        let ids = [
            request_id("uid-1", 3, "deploy"),
            request_id("uid-2", 3, "deploy"),
            request_id("uid-1", 4, "deploy"),
            request_id("uid-1", 3, "delete"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
