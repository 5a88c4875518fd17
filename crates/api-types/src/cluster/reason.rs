crate::reason::kind_reasons! {
    /// Why a condition of a `WorkflowCluster` has its value.
    ClusterReason {
        Running Normal
            "The engine serves at the version and with the replicas of the spec."
            => "Nothing.",
        Stopped Normal
            "`spec.stopped` is true or `spec.replicas` is 0: no engine pod runs, the data is kept."
            => "Set `spec.stopped` to false, or raise `spec.replicas`, to start the engine.",
        Reconciling Normal
            "Owned objects are being changed to match the spec; the message says which."
            => "Wait.",
        StatefulSetUpdated Normal
            "The StatefulSet was changed to match the spec (event)."
            => "Nothing.",
        ScalingUp Normal
            "Engine pods are being added."
            => "Wait.",
        ScalingDown Normal
            "Engine pods are being removed."
            => "Wait.",
        RollingOut Normal
            "Engine pods are being replaced, each only after the previous one is healthy."
            => "Wait.",
        RolledOut Normal
            "Every engine pod runs the version and template of the spec."
            => "Nothing.",
        EngineStarting Normal
            "Engine pods exist and are not ready yet."
            => "Wait; if it lasts, look at the pods' events and logs.",
        EngineUnhealthy Warning
            "Engine pods do not become ready, or the engine reports itself unhealthy; the message names the pod and its state."
            => "Look at the named pod's events and logs; a corrected spec recovers without further help.",
        LoadBalancerPending Normal
            "The engine serves, and `spec.network.serviceType: LoadBalancer` asks for an address from outside that the cloud has not given yet."
            => "Wait; if it lasts, look at the events of Service `<name>-engine`, and at `spec.network.serviceAnnotations`.",
        FailedCreate Warning
            "Kubernetes refuses to create the pods of the engine or of a migration; the message says why, or where to look."
            => "Correct what the message names; the pods follow by themselves, within minutes.",
        EngineAvailable Normal
            "At least one engine pod serves."
            => "Nothing.",
        PostgresReachable Normal
            "Postgres accepts the credentials and has a supported version."
            => "Nothing.",
        PostgresUnreachable Warning
            "Postgres cannot be connected to; the message has the cause."
            => "Check host, port and network policies; it is retried with backoff.",
        PostgresSecretMissing Warning
            "The Secret named by `databaseSecret` or `caSecret` does not exist in this namespace."
            => "Create the named Secret.",
        PostgresSecretInvalid Warning
            "The Secret named by `databaseSecret` or `caSecret` lacks a key, or a key's value cannot be used."
            => "Set the named key.",
        PostgresAuthenticationFailed Warning
            "Postgres refused the user or the password."
            => "Correct keys `username` and `password` of `databaseSecret`, or the role and `pg_hba.conf` in Postgres.",
        PostgresDatabaseMissing Warning
            "The server has no database of this name."
            => "Create the database, or correct `database` in the spec or key `dbname` of `databaseSecret`.",
        PostgresPrivilegeMissing Warning
            "The role may log in, and lacks a privilege: to connect to the database, to create the schema `workflow`, or to own it; the message says which."
            => "Grant what the message names.",
        PostgresReadOnly Warning
            "The server is a standby, or `default_transaction_read_only` is on: nothing can be written."
            => "Set `host` to the primary, or to an address that follows it; or reset the setting that the message names.",
        PostgresConnectionLimit Warning
            "The server, the database or the role has no connection left; the message says which."
            => "Raise the limit that the message names, or end other connections; it is retried with backoff.",
        PostgresTlsFailed Warning
            "TLS to Postgres failed: not offered, or its certificate is not trusted or not made for the host."
            => "Correct `sslMode` or `caSecret`, or the server's certificate.",
        PostgresClearTextRefused Warning
            "The server asks for the password in clear text and was not verified; the password was not sent."
            => "Set `sslMode: verify-full` (and `caSecret`), or have the server use `scram-sha-256` in its `pg_hba.conf`.",
        PostgresNotEncrypted Warning
            "The connection to Postgres is not encrypted: the server offers no TLS, and `sslMode: prefer` allows that."
            => "Switch TLS on in the server, and set `sslMode: verify-full` with `caSecret`.",
        PostgresServerNotVerified Warning
            "The connection to Postgres is encrypted, but the server's certificate is not verified: another server could answer in its place."
            => "Set `sslMode: verify-full`, with `caSecret` unless a public authority signed the certificate.",
        PostgresServerVerified Normal
            "The connection to Postgres is encrypted, and the server's certificate was verified."
            => "Nothing.",
        PostgresVersionUnsupported Warning
            "The server is older than Postgres 15."
            => "Upgrade Postgres.",
        ProviderMissing Warning
            "`spec.postgres.managed` needs an operator that makes Postgres, and its CRD is not installed."
            => "Install the operator; the message has the command. The cluster goes on by itself.",
        PostgresProvisioning Normal
            "The managed Postgres is being made, changed or started."
            => "Wait; the message says what it is at.",
        PostgresHibernating Normal
            "The engine is stopped, and the managed Postgres goes to sleep after it."
            => "Wait.",
        PostgresHibernated Normal
            "The engine is stopped, and the managed Postgres sleeps: its volumes are kept, no pod runs."
            => "Set `spec.stopped` to false to start both.",
        PostgresDegraded Warning
            "The managed Postgres serves, but not with all its instances."
            => "Look at the named object of the provider, its pods and their events.",
        PostgresFailed Warning
            "The provider reports that it cannot go on with the managed Postgres."
            => "Look at the named object of the provider; it is looked at again each minute.",
        StorageCannotGrow Warning
            "`spec.postgres.managed.storageSize` was raised, and the StorageClass of the volumes does not let them grow; they keep their size."
            => "Set `allowVolumeExpansion: true` in the StorageClass if its driver can do it; or set `storageSize` back.",
        StorageShrinkRefused Warning
            "`spec.postgres.managed.storageSize` is less than the volumes have; they keep their size."
            => "Set `storageSize` to the size in the message, or more.",
        DatabaseInUse Warning
            "Another WorkflowCluster, of this or of another Kubernetes cluster, has claimed the database; nothing is written to it."
            => "Name another database; or, when the other cluster is gone, take the database over with the annotation `workflow.example.com/take-over-database: \"<Kubernetes cluster>/<namespace>/<name>\"`, see operations/postgres.md.",
        DatabaseTakenOver Normal
            "The database was claimed by another WorkflowCluster before; the message names it (event)."
            => "Nothing.",
        Restoring Normal
            "A Job loads the backup that `spec.bootstrap.recovery` names into the database; no engine runs before it is complete."
            => "Wait.",
        RestoreBackupMissing Warning
            "`spec.bootstrap.recovery.backupRef` names no WorkflowBackup of this namespace."
            => "Create the cluster anew with the right name, or with `backupId` and `destination`.",
        RestoreBackupAwaited Normal
            "The WorkflowBackup that `spec.bootstrap.recovery` names is not complete yet."
            => "Wait.",
        RestoreRefused Warning
            "The backup does not fit the cluster, or its database is not empty; the message says why. Nothing was written."
            => "Create the cluster anew with what the message asks for.",
        RestoreFailed Warning
            "The backup could not be restored; the message says why. No engine is started on the database."
            => "Correct the cause, then do what the message says: delete the Job, or create the WorkflowCluster anew.",
        MigrationRunning Normal
            "The migration Job brings the database schema to the version."
            => "Wait.",
        MigrationFailed Warning
            "The migration Job failed; the message names the Job."
            => "Read the Job's log and correct the cause; a changed spec, or deleting the Job, starts a new one.",
        MigrationWithdrawn Normal
            "A migration Job that the spec does not ask for is ending; nothing that depends on the schema begins before it is gone."
            => "Wait; if it lasts, the node of the Job's pod does not answer.",
        SchemaCurrent Normal
            "The database schema is the one that the version needs."
            => "Nothing.",
        SchemaTooNew Warning
            "The database schema is newer than the version supports; nothing is changed."
            => "Set `spec.version` to the version that made the schema, or a newer one.",
        UpgradeRefused Warning
            "The change of `spec.version` is a downgrade or skips a major version; the running version is kept."
            => "Set `spec.version` to a version that the message allows.",
        VersionUnsupported Warning
            "This installation does not run `spec.version`: it is outside the supported range, on the list of denied versions, or reached by way of another version only. The running version is kept."
            => "Set `spec.version` to a version that the message allows; the list is the value `cluster-controller.engineVersions` of the chart.",
        UpgradePlanned Normal
            "Everything that an upgrade needs is there; nothing has begun."
            => "Wait.",
        MaintenanceWindowAwaited Normal
            "The next step of the upgrade waits for a window of `spec.upgrade.maintenanceWindows`; the message says when it opens."
            => "Wait, or change the windows.",
        BackupAwaited Normal
            "The upgrade waits for a backup: because the annotation `workflow.example.com/backup-before-upgrade` asks for one, or because one is being made, which the next change of the schema would have to wait for."
            => "With `spec.backup.destination`: wait, it is made. Without: make a backup, then annotate the WorkflowCluster with `workflow.example.com/backup-completed: \"<planHash>\"`; or remove the annotation.",
        CanaryWatched Normal
            "One engine pod has the new version or template, and is watched before the others follow."
            => "Wait; `spec.upgrade.canary.healthSeconds` says how long.",
        UpgradeSoaking Normal
            "Every engine pod has the new version and is watched; the engine can still go back."
            => "Wait; `spec.upgrade.soakSeconds` says how long.",
        FinalizeAwaited Normal
            "Every engine pod has the new version and is healthy; `spec.upgrade.finalize: Manual` waits for a person."
            => "Annotate the WorkflowCluster with `workflow.example.com/finalize-upgrade: \"<version>\"`, or set `spec.version` back.",
        DefinitionsVerified Normal
            "The upgrade is final; each process asks the engine of the new version for its definition, and deploys it again if it is missing. The message names those that have not yet."
            => "Wait; a process that cannot be asked for is left out after five minutes.",
        UpgradeRollingBack Warning
            "The new version or template did not get healthy, or the spec does not ask for it any more: the engine pods get the former one again."
            => "Wait.",
        UpgradeRolledBack Warning
            "The new version or template did not get healthy, and every engine pod has the former one again; the message says what was wrong."
            => "Correct the spec: another version, image or template begins anew. Setting it back ends the upgrade.",
        UpgradeFailed Warning
            "The new version or template did not get healthy, and `spec.upgrade.autoRollback` is false: the upgrade stays where it is."
            => "Set the spec back, or to another version, image or template.",
        AwaitingDependants Normal
            "The cluster is being deleted, and its engine keeps serving until the tenants and processes that are deleted with it are cleaned up; the message names them."
            => "Wait, at most five minutes, or give up what they have in the database with the annotation `workflow.example.com/force-delete: \"true\"` on the WorkflowCluster.",
        SnapshotAwaited Normal
            "The cluster is being deleted with `deletionPolicy: Snapshot`; its last backup is being made, and its engine serves until then."
            => "Wait; or give the backup up with `deletionPolicy: Delete`.",
        SnapshotFailed Warning
            "The cluster is being deleted with `deletionPolicy: Snapshot`, and its last backup failed: the cluster stays."
            => "Correct the cause and delete the named WorkflowBackup, which makes another one; or give the backup up with `deletionPolicy: Delete`, or the annotation `workflow.example.com/force-delete: \"true\"`.",
        LeftInDatabase Warning
            "The cluster is gone, and the database still holds the data of the named tenants and processes (event)."
            => "Nothing, or apply a cluster on the same database and the same objects again: they take it over, and can then be deleted in order.",
        CertificateRotated Normal
            "The engine's certificate was renewed, before its end or because the engine is reached under other names (event)."
            => "Nothing.",
        SecretUnproven Warning
            "A Secret does not prove that this installation wrote it: an earlier cluster of this name left it, or somebody made it. No engine is started with it."
            => "Delete the named Secret: a new one is made. Or, if you know where it is from, name its uid in the annotation `workflow.example.com/adopt` of the WorkflowCluster.",
        CredentialsAnnounced Normal
            "The engine's tokens and keys are being replaced: the engine accepts new ones, which callers use from the named time on."
            => "Wait.",
        CredentialsRotated Normal
            "Callers use the new tokens and keys; the former are still accepted, until the named time at least."
            => "Wait; to end the former at once delete the Secrets, see operations.md.",
        CredentialsHeld Warning
            "The former tokens and keys should have ended, and are still accepted, because the named workers and tenants have tokens made from them."
            => "Look at the named objects: a paused worker, or one whose pods are not replaced, keeps its token. Delete the ones that are not needed.",
        CredentialsRetired Normal
            "The former tokens and keys are no longer accepted (event)."
            => "Nothing.",
        ServiceMonitorCrdMissing Warning
            "A ServiceMonitor is asked for and the CRD monitoring.coreos.com/v1 is not installed; everything else works."
            => "Install the Prometheus operator's CRDs, or set `spec.observability.metrics.serviceMonitor` to false.",
    }
}
