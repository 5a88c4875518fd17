crate::reason::kind_reasons! {
    /// Why a condition of a `WorkflowProcess` has its value.
    ProcessReason {
        Deployed Normal
            "The engine runs exactly the bytes of the source; the message has version and key."
            => "Nothing.",
        Validating Normal
            "The source is being checked and deployed."
            => "Wait.",
        Valid Normal
            "The BPMN was accepted."
            => "Nothing.",
        ValidationFailed Warning
            "The BPMN was refused; the message names rule, element, line and column."
            => "Correct the BPMN; nothing is retried before the source changes.",
        SourceMissing Warning
            "The ConfigMap or its key, the repository, the Flux source or the file in it does not exist."
            => "Create what the message names; a ConfigMap and a Flux source are seen at once, a repository after its interval.",
        SourceInvalid Warning
            "The source is empty, or is no regular file."
            => "Put the BPMN into the source that the message names.",
        SourceReady Normal
            "The repository or artifact of the source was read."
            => "Nothing.",
        SourceUnreachable Warning
            "The host of the source does not answer, or not in time; what runs stays."
            => "Wait, or look at the host; it is asked again after the interval.",
        SourceAddressRefused Warning
            "The host of the source is at an address that this installation does not call, or redirects to another host."
            => "Use a public host, name the URL that it redirects to, or have a cluster admin set `global.git.allowedNetworks`.",
        SourceCertificateRefused Warning
            "The certificate of the source's host is not trusted."
            => "Put the authority that signs it into key `ca.crt` of the Secret that `secretRef` names.",
        SourceAccessDenied Warning
            "The host of the source wants credentials, or refuses them."
            => "Check the Secret that `secretRef` names, and what its credentials may read.",
        SourceCredentialsMissing Warning
            "The Secret that `secretRef` names does not exist, cannot be read, is not for this host, or lacks a key."
            => "Do what the message says; the Secret is read again after the interval.",
        SourceRevisionMissing Warning
            "The repository has no such branch, tag or commit, or a branch and a tag of the same name."
            => "Correct `spec.source.gitRef.revision`, or push the branch.",
        SourceTooLarge Warning
            "The repository, the commit, the artifact or the file is larger than a source may be."
            => "Keep BPMN in a smaller repository, or have a cluster admin raise the limits.",
        SourceMalformed Warning
            "The host of the source does not answer like a git server, or an artifact is not what its digest says."
            => "Check the URL, or the Flux source that the message names.",
        ProviderMissing Warning
            "The kind of Flux source is not installed in this cluster."
            => "Install Flux's source-controller as the message says, or use `gitRef`.",
        SourceNotReady Warning
            "The Flux source has no artifact yet: its own controller could not fetch it."
            => "Look at the Flux source that the message names.",
        ClusterStopped Normal
            "The engine of the cluster is stopped; what is in it stays."
            => "Nothing; it goes on when the cluster is started (`spec.stopped: false`).",
        ClusterNotReady Warning
            "The cluster has no endpoint yet, or is being deleted."
            => "Look at the `WorkflowCluster` that the message names.",
        ClusterUpdating Normal
            "The cluster does not accept deployments now: it is being rolled or migrated."
            => "Wait; the deployment follows by itself.",
        TenantNotReady Warning
            "The tenant is not in the engine yet, or is being deleted."
            => "Look at the `WorkflowTenant` that the message names.",
        TenantSuspended Warning
            "The tenant is suspended."
            => "Set the tenant's `spec.suspended` to false; the deployment follows by itself.",
        ReferenceNotPermittedOrMissing Warning
            "The cluster or tenant does not exist, or this namespace may not refer to it; which of the two is not disclosed."
            => "Check the names, have the tenant list this namespace in `spec.namespaces`, or have a cluster admin label it `workflow.example.com/tenant: <tenant>`.",
        DeployedForAnotherTenant Warning
            "The object names no tenant, and its Namespace is labelled with another one than when it was deployed; what runs stays with the tenant that the message names."
            => "Set the label of the Namespace back; or delete the object, which retires what it deployed, and apply it again for the tenant of the label.",
        EngineUnreachable Warning
            "The engine did not answer; it is retried with backoff."
            => "Look at the `WorkflowCluster`.",
        EngineCredentialsMissing Warning
            "The cluster's CA or token cannot be read, or the engine refused them."
            => "Look at the `WorkflowCluster`; its controller makes both.",
        QuotaExceeded Warning
            "The tenant's quota refuses the deployment."
            => "Raise the tenant's quota, or do what the message says; the deployment follows by itself.",
        RejectedByEngine Warning
            "The engine refused a source that the linter had accepted; the message has its findings."
            => "Correct the BPMN; nothing is retried before the source changes.",
        NotSupportedByEngine Warning
            "The engine's version lacks the call."
            => "Upgrade the engine.",
        DuplicateProcessId Warning
            "An older `WorkflowProcess` of the same cluster and tenant has the same BPMN process id; that one stays deployed."
            => "Delete one of the two, or change the process id.",
        Redeployed Normal
            "The engine had lost the definition, and it was deployed again (event)."
            => "Nothing.",
        WorkersAvailable Normal
            "Every job type of the definition has a `WorkflowWorker`."
            => "Nothing.",
        WorkersMissing Warning
            "Job types of the definition have no `WorkflowWorker`; the message names them."
            => "Create a `WorkflowWorker` for them, unless workers run elsewhere.",
        Adopted Normal
            "The engine had the process already; nobody managed it, or a former object of the same name did. This object manages it now (event)."
            => "Nothing.",
        LeftInDatabase Warning
            "The object was deleted while its cluster was gone: its definitions may still be in the cluster's database (event)."
            => "Apply the same object again to take them over, or remove the database.",
        IncidentsOpen Warning
            "Instances of the process are held by incidents, and there were none before (event)."
            => "Look at them, then resolve or cancel: see [an instance has an incident](../operations.md#an-instance-has-an-incident).",
        RemovedElementsInUse Warning
            "A new version has no more elements at which running instances of former versions wait (event)."
            => "Nothing has to be done: they go on with their own version. Keep the workers of its job types until they are through.",
        Retained Normal
            "The object was deleted with policy `Retain`: the definition stays in the engine (event)."
            => "Nothing.",
    }
}
