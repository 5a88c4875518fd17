mod convergence;
mod crash;
mod deletion;
mod load;
mod permissions;
mod tenancy;
mod upgrade;
mod version_tag;
