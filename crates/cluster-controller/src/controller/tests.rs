mod convergence;
mod crash;
mod deletion;
mod permissions;
mod rotation;
mod upgrade;
