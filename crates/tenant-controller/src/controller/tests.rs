mod apiserver;
mod clients;
mod convergence;
mod crash;
