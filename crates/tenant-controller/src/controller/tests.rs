mod clients;
mod convergence;
mod crash;
