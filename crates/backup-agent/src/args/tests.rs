use clap::CommandFactory as _;

use super::*;

fn without_variable(command: &clap::Command) -> Vec<String> {
    let missing = command
        .get_opts()
        .filter(|option| option.get_env().is_none())
        .map(|option| format!("{} --{}", command.get_name(), option.get_long().unwrap_or_default()));
    missing.chain(command.get_subcommands().flat_map(without_variable)).collect()
}

#[test]
fn every_option_has_an_environment_variable() {
    assert_eq!(without_variable(&Cli::command()), Vec::<String>::new());
}

/// The controller gives the Job the environment that it gives the engine.
#[test]
fn the_database_options_are_those_of_the_engine() {
    let of_database = |command: clap::Command, subcommand: &str| -> Vec<(String, String)> {
        let command = command.find_subcommand(subcommand).expect("is a subcommand").clone();
        let options = command.get_opts().filter_map(|option| {
            let name = option.get_long()?;
            let variable = option.get_env()?.to_string_lossy().into_owned();
            name.starts_with("database-").then(|| (name.to_owned(), variable))
        });
        // The claim is held by the WorkflowCluster before the controllers make a Job of the agent.
        let others = ["database-max-connections", "database-claim"];
        options.filter(|(name, _)| !others.contains(&name.as_str())).collect()
    };
    let engine = of_database(workflow_engine::args::Cli::command(), "migrate");
    for subcommand in ["backup", "restore"] {
        assert_eq!(of_database(Cli::command(), subcommand), engine);
    }
}
