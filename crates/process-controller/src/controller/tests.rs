mod apiserver;
mod convergence;
mod crash;
mod deletion;
mod load;
mod version_tag;
