mod clients;
mod convergence;
mod crash;
mod deletion;
mod tenancy;
