//! End-to-end tests on a real node with the charts and the sample installed: `./dev e2e`. They run one after another,
//! because they share the sample's cluster.

mod backups;
mod base_backups;
mod clients;
mod comes_back;
mod contents;
mod deletion;
mod drills;
mod faults;
mod fixture;
mod forge;
mod incidents;
mod lane;
mod managed;
mod omnistrate;
mod processes;
mod retained;
mod rotation;
mod scaling;
mod sources;
mod tenancy;
mod upgrade_faults;
mod upgrade_load;
mod upgrades;
