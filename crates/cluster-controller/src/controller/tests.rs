mod convergence;
mod crash;
mod deletion;
mod gates;
mod permissions;
mod rotation;
mod stages;
mod upgrade;
