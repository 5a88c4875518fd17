mod apiserver;
mod convergence;
mod crash;
