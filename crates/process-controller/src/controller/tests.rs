mod apiserver;
mod convergence;
mod crash;
mod deletion;
mod load;
