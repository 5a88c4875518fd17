mod convergence;
mod crash;
mod deletion;
