mod convergence;
mod crash;
