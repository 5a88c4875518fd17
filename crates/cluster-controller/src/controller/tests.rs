mod convergence;
mod crash;
mod deletion;
mod rotation;
mod upgrade;
