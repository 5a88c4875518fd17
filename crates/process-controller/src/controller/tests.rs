mod convergence;
mod crash;
mod deletion;
mod load;
mod tenancy;
mod version_tag;
