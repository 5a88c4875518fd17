//! Reasons: why a condition has its value. One closed enum per kind; the word in `conditions[].reason` is also the
//! reason of the event that reports the same change.

use std::fmt::Debug;
use std::hash::Hash;

/// How serious it is: the type of the event that carries the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is wrong; nobody has to act.
    Normal,
    /// Something is wrong, or waits for a person.
    Warning,
}

impl Severity {
    /// The word of `events.k8s.io/v1` `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// A closed set of reasons. `From<CommonReason>` lets code that is generic over the kinds use the reasons that all
/// kinds have.
pub trait Reason: Copy + Debug + Eq + Ord + Hash + Send + Sync + From<CommonReason> + 'static {
    /// Every reason of the kind, in the order of its documentation.
    const ALL: &'static [Self];
    /// The word in `conditions[].reason` and in events, CamelCase, at most 64 characters.
    fn as_str(self) -> &'static str;
    /// The type of the event that carries the reason.
    fn severity(self) -> Severity;
    /// What it means, one sentence for the user.
    fn meaning(self) -> &'static str;
    /// What the user does about it, one sentence.
    fn remedy(self) -> &'static str;
}

/// Declares one reason enum: every variant with its severity, meaning and remedy, which are also its documentation
/// here, in `docs/conditions.md` and in `docs/spec/<kind>.md`.
macro_rules! reasons {
    (
        $(#[$outer:meta])*
        $name:ident { $( $variant:ident $severity:ident $meaning:literal => $remedy:literal, )+ }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(
                #[doc = $meaning]
                #[doc = ""]
                #[doc = $remedy]
                $variant,
            )+
        }

        impl $crate::reason::Reason for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            fn severity(self) -> $crate::reason::Severity {
                match self { $(Self::$variant => $crate::reason::Severity::$severity,)+ }
            }

            fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str($crate::reason::Reason::as_str(*self))
            }
        }
    };
}

/// A kind's reasons: the common ones first, then its own.
macro_rules! kind_reasons {
    (
        $(#[$outer:meta])*
        $name:ident { $($own:tt)+ }
    ) => {
        $crate::reason::with_common_reasons! { $(#[$outer])* $name { $($own)+ } }

        impl From<$crate::reason::CommonReason> for $name {
            fn from(common: $crate::reason::CommonReason) -> Self {
                $crate::reason::with_common_names!(common, $name)
            }
        }
    };
}

macro_rules! with_common_reasons {
    ( $(#[$outer:meta])* $name:ident { $($own:tt)* } ) => {
        $crate::reason::reasons! {
            $(#[$outer])*
            $name {
                Unseen Normal
                    "No controller has seen the object yet: the API server sets this when the object is created."
                    => "Wait; if it lasts, look whether the controller of this kind runs.",
                Paused Normal
                    "`spec.paused` is true: no owned object is written, the status is still reported."
                    => "Set `spec.paused` to false to resume.",
                Deleting Normal
                    "The object is being deleted and its cleanup runs."
                    => "Wait; the message names the step.",
                DeletionBlocked Warning
                    "The cleanup cannot go on; the message names what blocks it."
                    => "Remove the named cause, or give up the cleanup with the annotation `workflow.example.com/force-delete: \"true\"`.",
                DeletionForced Warning
                    "The cleanup was given up because of `workflow.example.com/force-delete`; the message names what was left behind."
                    => "Remove what was left behind by hand.",
                InvalidSpec Warning
                    "A field of the spec is refused; the message names the field and what was expected."
                    => "Correct the named field; nothing is retried before the spec changes.",
                FieldsNotActedOn Warning
                    "The spec uses fields that this version stores but does not act on; the message names them and what to do instead."
                    => "Follow the message, or remove the named fields.",
                NameTaken Warning
                    "An object with the needed name exists and belongs to something else; it is never overwritten."
                    => "Delete or rename the foreign object named in the message, or rename this one.",
                Conflict Warning
                    "Another writer changed what this controller owns; the message names the object, the writer's field manager and the fields."
                    => "Nothing the first time: it was set back. If it goes on, stop the other writer: what is changed again and again is set back after growing pauses of at most a minute.",
                Unreadable Warning
                    "The stored object does not fit this version's schema, so its controller does nothing with it. There is only an event; the status stays as it was."
                    => "Correct the field that the message names and apply the object again.",
                Denied Warning
                    "The Kubernetes API refused a request: missing permission, admission policy or resource quota."
                    => "Grant what the message names, or change the policy; it is tried again within a minute.",
                KubernetesUnavailable Warning
                    "The Kubernetes API did not answer in time; it is retried with backoff."
                    => "Nothing, unless it lasts: then look at the health of the control plane.",
                InternalError Warning
                    "A defect of the controller itself."
                    => "Report it together with the controller's log lines of this object.",
                $($own)*
            }
        }
    };
}

macro_rules! with_common_names {
    ( $common:ident, $name:ident ) => {
        match $common {
            $crate::reason::CommonReason::Unseen => $name::Unseen,
            $crate::reason::CommonReason::Paused => $name::Paused,
            $crate::reason::CommonReason::Deleting => $name::Deleting,
            $crate::reason::CommonReason::DeletionBlocked => $name::DeletionBlocked,
            $crate::reason::CommonReason::DeletionForced => $name::DeletionForced,
            $crate::reason::CommonReason::InvalidSpec => $name::InvalidSpec,
            $crate::reason::CommonReason::FieldsNotActedOn => $name::FieldsNotActedOn,
            $crate::reason::CommonReason::NameTaken => $name::NameTaken,
            $crate::reason::CommonReason::Conflict => $name::Conflict,
            $crate::reason::CommonReason::Unreadable => $name::Unreadable,
            $crate::reason::CommonReason::Denied => $name::Denied,
            $crate::reason::CommonReason::KubernetesUnavailable => $name::KubernetesUnavailable,
            $crate::reason::CommonReason::InternalError => $name::InternalError,
        }
    };
}

pub(crate) use {kind_reasons, reasons, with_common_names, with_common_reasons};

with_common_reasons! {
    /// The reasons that every kind has.
    CommonReason {}
}

#[cfg(test)]
mod tests;
