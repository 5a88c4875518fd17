mod convergence;
mod crash;
mod deletion;
mod permissions;
mod tenancy;
