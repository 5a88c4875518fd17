//! Whole passes: in memory, where every crash can be tried, and on a real API server, where ownership is decided.

#[cfg(test)]
mod apiserver;
#[cfg(test)]
mod autoscaler;
#[cfg(test)]
mod impossible;
#[cfg(test)]
mod in_memory;
#[cfg(test)]
mod passed_on;
#[cfg(test)]
mod process;
#[cfg(test)]
mod rbac;
#[cfg(test)]
mod world;
