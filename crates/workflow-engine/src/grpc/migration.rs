use std::str::FromStr;

use engine_api::proto::migration_service_server::MigrationService;
use engine_api::proto::{
    AppliedMigration, GetMigrationStatusRequest, GetMigrationStatusResponse, MigrationKind, MigrationStep,
    PlanMigrationRequest, PlanMigrationResponse, VersionVerdict,
};
use engine_api::version_policy;
use semver::Version;
use tonic::{Request, Response, Status};

use super::{Api, Method};
use crate::error::Error;
use crate::release;
use crate::schema::{self, Applied, Kind, State, Step};
use crate::wire;

#[tonic::async_trait]
impl MigrationService for Api {
    async fn plan_migration(
        &self,
        request: Request<PlanMigrationRequest>,
    ) -> Result<Response<PlanMigrationResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let work = async {
            let target = Version::from_str(&request.target_version)
                .map_err(|_| Error::Invalid("target_version must be a version such as 1.2.3".to_owned()))?;
            let state = self.node.observe_schema().await?;
            let from = state.engine_version.as_deref().unwrap_or(release::version());
            let from = Version::from_str(from)
                .map_err(|_| Error::Defect(format!("the database records engine version {from:?}")))?;
            Ok(PlanMigrationResponse {
                verdict: VersionVerdict::from(version_policy::judge(&from, &target)).into(),
                steps: state.pending().map(wire_step).collect(),
            })
        };
        self.call_node(Method::PlanMigration, &extensions, "", work).await
    }

    async fn get_migration_status(
        &self,
        request: Request<GetMigrationStatusRequest>,
    ) -> Result<Response<GetMigrationStatusResponse>, Status> {
        let work = async { Ok(wire_state(&self.node.observe_schema().await?)) };
        self.call_node(Method::GetMigrationStatus, request.extensions(), "", work).await
    }
}

fn wire_state(state: &State) -> GetMigrationStatusResponse {
    GetMigrationStatusResponse {
        current: state.current(),
        newest_known: schema::newest_known(),
        applied: state.applied.iter().map(wire_applied).collect(),
        pending: state.pending().map(wire_step).collect(),
        dirty: state.is_dirty(),
        lock_holder: state.lock_holder.clone().unwrap_or_default(),
    }
}

fn wire_applied(applied: &Applied) -> AppliedMigration {
    let known = schema::known_steps().iter().find(|step| step.migration.version == applied.version);
    let step = known.map_or_else(
        // Applied by a newer version; this one does not know its kind.
        || MigrationStep {
            id: applied.version,
            description: applied.description.clone(),
            kind: MigrationKind::Unspecified.into(),
            checksum: schema::hex(&applied.checksum),
        },
        wire_step,
    );
    AppliedMigration { step: Some(step), applied_at: Some(wire::timestamp(applied.applied_at)) }
}

fn wire_step(step: &Step) -> MigrationStep {
    let kind = match step.kind {
        Kind::Expand => MigrationKind::Expand,
        Kind::Contract => MigrationKind::Contract,
    };
    MigrationStep {
        id: step.migration.version,
        description: step.migration.description.to_string(),
        kind: kind.into(),
        checksum: schema::hex(&step.migration.checksum),
    }
}
