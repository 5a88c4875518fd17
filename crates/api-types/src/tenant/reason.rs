crate::reason::kind_reasons! {
    /// Why a condition of a `WorkflowTenant` has its value.
    TenantReason {
        Synced Normal
            "The engine holds the tenant as the spec says."
            => "Nothing.",
        Reconciling Normal
            "The tenant is being written to the engine."
            => "Wait.",
        DriftCorrected Normal
            "The engine's copy differed from the spec and was corrected (event)."
            => "Nothing; change the spec, not the engine.",
        Suspended Normal
            "`spec.suspended` is true: no new instances, no jobs; nothing is lost."
            => "Set `spec.suspended` to false to resume.",
        WithinQuota Normal
            "Usage is below every quota."
            => "Nothing.",
        QuotaExceeded Warning
            "Usage has reached a quota; the message names it."
            => "Raise the quota, or let instances end.",
        ClientSecretsCurrent Normal
            "Secret `<tenant>-client` is in every namespace that the tenant is granted to, with its current content."
            => "Nothing.",
        ClientSecretNotPermitted Warning
            "The tenant-controller may not write Secret `<tenant>-client` in a namespace that has not opted in."
            => "Create the RoleBinding that the message names, or end the grant of that namespace.",
        ClientSecretNameTaken Warning
            "A Secret of the name `<tenant>-client` belongs to something else; it is not touched."
            => "Delete or rename the Secret that the message names.",
        ClientSecretNotWritten Warning
            "The Kubernetes API refused Secret `<tenant>-client`, or did not answer; it is tried again."
            => "Look at the answer in the message, for instance a quota or an admission policy.",
        ClientNamespaceMissing Warning
            "`spec.namespaces` names a namespace that does not exist."
            => "Create the namespace, or take it out of `spec.namespaces`.",
        TooManyClientNamespaces Warning
            "The tenant is granted to more namespaces than get the Secret of its clients."
            => "Remove the label `workflow.example.com/tenant` from namespaces without applications.",
        ClientSecretsLeft Warning
            "The object was deleted, and its Secret `<tenant>-client` could not be deleted in the namespaces that the message names (event)."
            => "Delete it there; the engine refuses its token.",
        ClusterStopped Normal
            "The engine of the cluster is stopped; what is in it stays."
            => "Nothing; it goes on when the cluster is started (`spec.stopped: false`).",
        ClusterNotReady Warning
            "The cluster has no endpoint yet, or is being deleted."
            => "Look at the `WorkflowCluster` that the message names.",
        ReferenceNotPermittedOrMissing Warning
            "The cluster does not exist, or this namespace may not refer to it; which of the two is not disclosed."
            => "Check the name, or have a cluster admin label this namespace `workflow.example.com/tenant: <tenant>`.",
        EngineUnreachable Warning
            "The engine did not answer; it is retried with backoff."
            => "Look at the `WorkflowCluster`.",
        EngineCredentialsMissing Warning
            "The cluster's CA or token cannot be read, or the engine refused them."
            => "Look at the `WorkflowCluster`; its controller makes both.",
        RejectedByEngine Warning
            "The engine refused the tenant; the message says which field."
            => "Correct the named field.",
        NotSupportedByEngine Warning
            "The engine's version lacks the call."
            => "Upgrade the engine.",
        Adopted Normal
            "The engine had the tenant already; nobody managed it, or a former object of the same name did. This object manages it now (event)."
            => "Nothing.",
        LeftInDatabase Warning
            "The object was deleted while its cluster was gone: the tenant may still be in the cluster's database (event)."
            => "Apply the same object again to take it over, or remove the database.",
        Retained Normal
            "The object was deleted with policy `Retain`: the tenant stays in the engine (event)."
            => "Nothing.",
        Purged Normal
            "The object was deleted with policy `Purge`: what ran was cancelled and everything of the tenant is gone (event)."
            => "Nothing.",
    }
}
